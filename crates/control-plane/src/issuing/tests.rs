//! Who gets which token, asked without HTTP.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::FutureExt as _;
use jiff::Timestamp;
use model::{Key, ZoneName};
use store::{
    Applied, Batch, Freshness, Kinds, Page, Query, ResourceStore, StoreError, Stored, Watch,
    testing::{Database, Instance},
};
use tokens::{Accept, Algorithm, Family, KeyRing, SecretEntry, Want};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::DropGuard;

use super::{next::Reason, *};
use crate::{
    access::{Access, Allowed, Caller, Rule},
    ledger::Entry,
    signers::{SignedBy, SignerSettings, SigningMetrics},
    tasks::Tasks,
};

const HOUR: Duration = Duration::from_secs(3600);

fn ring(generation: u64) -> KeyRing {
    let key = tokens::generate_signing_key();
    let names = ["control-plane-signing-key-0001", "zone-token-signing-key-1", "user-token-signing-key-1"];
    let secrets = names.map(|name| SecretEntry { mesh: "", name, data: Some(key.reveal().as_bytes()) });
    KeyRing::build(generation, &secrets).0
}

/// A store whose writes wait while a test holds the gate.
struct Gated {
    store: Instance,
    gate: Arc<Mutex<()>>,
}

#[async_trait]
impl ResourceStore for Gated {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.store.get(key).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.store.list(query).await
    }

    async fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        let _open = self.gate.lock().await;
        self.store.apply(batch).await
    }

    fn watch(&self, kinds: Kinds) -> Watch {
        self.store.watch(kinds)
    }

    fn freshness(&self) -> watch::Receiver<Freshness> {
        self.store.freshness()
    }

    async fn settled(&self) -> Result<(), StoreError> {
        self.store.settled().await
    }
}

struct Shop {
    gate: Arc<Mutex<()>>,
    rings: watch::Sender<Arc<KeyRing>>,
    store: Instance,
    ledger: Ledger,
    issuer: Issuer,
    _tasks: DropGuard,
}

impl Shop {
    fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.rings.borrow())
    }

    fn entries(&self) -> Vec<Arc<Entry>> {
        self.ledger.all().into_iter().map(|known| known.entry).collect()
    }
}

async fn shop(issuers: Issuers) -> Shop {
    let (store, gate) = (Database::new().instance(), Arc::default());
    let shared: Arc<dyn ResourceStore> = Arc::new(Gated { store: store.clone(), gate: Arc::clone(&gate) });
    let (clock, tasks) = (Clock::starting_at(Timestamp::UNIX_EPOCH), Tasks::new());
    let ledger = Ledger::start(&shared, &clock, &tasks).await.unwrap();
    let (rings, keys) = watch::channel(Arc::new(ring(1)));
    let issuer = Issuer::new(Keys::of(keys), clock, issuers, ledger.clone());
    Shop { gate, rings, store, ledger, issuer, _tasks: tasks.stop_on_drop() }
}

fn permit(access: Access) -> Permit {
    Arc::new(access).judge(Caller::anonymous(), Rule::Public).unwrap()
}

fn anybody() -> Allowed {
    Allowed { users: vec![Caller::anonymous().name().to_owned()], groups: Vec::new() }
}

/// A permit of somebody who may issue user tokens and nothing else.
fn of_registrar() -> Permit {
    permit(Access { generate_user_token: anybody(), ..Access::default() })
}

fn of_admin() -> Permit {
    permit(Access {
        generate_user_token: anybody(),
        generate_zone_token: anybody(),
        generate_cp_token: anybody(),
        ..Access::default()
    })
}

fn zone(scope: &[Scope]) -> Order {
    Order::Zone { zone: ZoneName::parse("west").unwrap(), scope: Some(scope.to_vec()), valid_for: HOUR }
}

fn control_plane() -> Order {
    Order::ControlPlane { zone: ZoneName::parse("west").unwrap(), valid_for: None }
}

fn user() -> Order {
    Order::User { name: "john".to_owned(), groups: None, valid_for: HOUR }
}

fn wanted() -> Want<'static> {
    Want { zone: "west", accept: Accept::CpToken, leeway: Duration::ZERO, legacy_until: None }
}

#[tokio::test]
async fn where_keys_go_to_no_zone_nothing_is_issued_that_zones_would_have_to_verify() {
    let shop = shop(Issuers::default()).await;
    let (admin, issuer) = (of_admin(), shop.issuer.clone().without_proxies(Some("ask `global`".into())));
    let for_nothing = Order::Zone { zone: ZoneName::parse("west").unwrap(), scope: None, valid_for: HOUR };
    for order in [zone(&[Scope::Ingress]), zone(&[Scope::Ingress, Scope::Egress]), zone(&[]), for_nothing] {
        let refused = issuer.issue(&admin, &order).await.unwrap_err();
        assert_eq!(refused, NotIssued::NotForProxies { elsewhere: "ask `global`".into() }, "{order:?}");
        shop.issuer.issue(&admin, &order).await.unwrap();
    }
    for order in [zone(&[Scope::Cp]), zone(&[Scope::Cp, Scope::Egress]), control_plane(), user()] {
        issuer.issue(&admin, &order).await.unwrap();
    }
    let denied = issuer.issue(&of_registrar(), &zone(&[Scope::Ingress])).await;
    assert!(matches!(denied, Err(NotIssued::Denied(_))), "who may not is told nothing else");
}

#[tokio::test]
async fn what_is_ordered_is_what_the_token_says() {
    let shop = shop(Issuers::default()).await;
    let (admin, now) = (of_admin(), Timestamp::UNIX_EPOCH);
    for order in [zone(&[Scope::Cp]), control_plane()] {
        let token = shop.issuer.issue(&admin, &order).await.unwrap();
        let verified = tokens::verify(token.reveal(), &shop.ring(), now, &wanted()).unwrap();
        assert_eq!((verified.zone().as_str(), verified.expires_at()), ("west", token.expires_at()));
    }
    let token = shop.issuer.issue(&admin, &user()).await.unwrap();
    assert_eq!(tokens::verify_user(token.reveal(), &shop.ring(), now, Duration::ZERO).unwrap().name(), "john");
}

#[tokio::test]
async fn nobody_gets_what_their_permit_does_not_say() {
    let shop = shop(Issuers::default()).await;
    let registrar = of_registrar();
    assert!(shop.issuer.issue(&registrar, &user()).await.is_ok());
    for order in [zone(&[Scope::Ingress]), control_plane()] {
        assert!(matches!(shop.issuer.issue(&registrar, &order).await, Err(NotIssued::Denied(_))), "{order:?}");
        assert!(matches!(shop.issuer.may_issue(&registrar, order.kind(), "west"), Err(NotIssued::Denied(_))));
    }
    assert_eq!(shop.entries().len(), 1, "what was refused leaves nothing");
}

#[tokio::test]
async fn an_issuer_that_is_off_issues_nothing_that_does_the_same() {
    let shop = shop(Issuers { control_plane: false, ..Issuers::default() }).await;
    let admin = of_admin();
    let off = async |order: &Order| shop.issuer.issue(&admin, order).await.map(drop) == Err(NotIssued::Off);
    assert!(off(&control_plane()).await && off(&zone(&[Scope::Cp])).await);
    assert!(!off(&zone(&[Scope::Ingress])).await && !off(&user()).await);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_signed_with_a_key_that_may_be_gone() {
    let store = Database::new().instance();
    let shared: Arc<dyn ResourceStore> = Arc::new(store.clone());
    let (clock, tasks) = (Clock::starting_at(Timestamp::UNIX_EPOCH), Tasks::new());
    let keys = Keys::start(&shared, &tasks).await.unwrap();
    let ledger = Ledger::start(&shared, &clock, &tasks).await.unwrap();
    let issuer = Issuer::new(keys, clock, Issuers::default(), ledger);
    assert!(matches!(issuer.issue(&of_admin(), &control_plane()).await, Err(NotIssued::Failed(_))), "there is no key");
    store.fall_behind();
    tokio::time::sleep(crate::keys::LONGEST_BEHIND).await;
    assert!(matches!(issuer.issue(&of_admin(), &control_plane()).await, Err(NotIssued::KeysBehind(_))));
}

#[tokio::test]
async fn the_ledger_says_of_a_token_who_got_it_for_what_and_never_the_token() {
    let shop = shop(Issuers::default()).await;
    let token = shop.issuer.issue(&of_admin(), &zone(&[Scope::Cp, Scope::Egress])).await.unwrap();
    let entry = shop.entries().pop().unwrap();
    assert_eq!(entry.id, token.id());
    assert_eq!((entry.family(), entry.key.serial, entry.algorithm.as_str()), (&Family::Zone, 1, "RS256"));
    assert_eq!((entry.zone.as_deref(), entry.name.as_deref()), (Some("west"), None));
    assert_eq!(entry.scope.as_deref(), Some(&["cp".to_owned(), "egress".to_owned()][..]));
    assert!(entry.issued_at < Timestamp::UNIX_EPOCH + HOUR, "the real moment");
    assert_eq!(entry.expires_at, token.expires_at());
    assert_eq!((entry.by.as_str(), entry.how), ("mesh-system:anonymous", How::Command));
    let written = serde_json::to_string(&*entry).unwrap();
    let signature = token.reveal().rsplit('.').next().unwrap();
    assert!(!written.contains(signature), "{written}");
}

#[tokio::test]
async fn a_token_without_an_end_is_in_the_ledger_by_its_hash_and_once() {
    let shop = shop(Issuers::default()).await;
    let first = shop.issuer.issue(&of_admin(), &control_plane()).await.unwrap();
    let again = shop.issuer.issue(&of_admin(), &control_plane()).await.unwrap();
    assert_eq!(first.reveal(), again.reveal());
    let entries = shop.entries();
    let [entry] = &entries[..] else { panic!("one entry: {entries:?}") };
    assert_eq!(entry.id.strip_prefix("sha256:").map(str::len), Some(16), "{}", entry.id);
    assert_eq!(entry.expires_at, None);
}

#[tokio::test]
async fn a_token_that_is_not_in_the_ledger_is_not_handed_out() {
    let shop = shop(Issuers::default()).await;
    shop.store.refuse_writes("disk full");
    let refused = shop.issuer.issue(&of_admin(), &user()).await.map(drop);
    assert!(
        matches!(refused, Err(NotIssued::NotRecorded(NotRecorded::Store(StoreError::Unavailable { .. })))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_was_signed_before_the_keys_changed_is_neither_handed_out_nor_kept() {
    let shop = shop(Issuers::default()).await;
    let (admin, order) = (of_admin(), user());
    let newer = Arc::new(ring(2));
    let closed = shop.gate.lock().await;
    let mut issuing = std::pin::pin!(shop.issuer.issue(&admin, &order));
    assert!(issuing.as_mut().now_or_never().is_none(), "the entry is not written yet");
    // Meanwhile another ring comes.
    shop.rings.send_replace(Arc::clone(&newer));
    drop(closed);
    let token = issuing.await.unwrap();
    assert!(tokens::verify_user(token.reveal(), &newer, Timestamp::UNIX_EPOCH, Duration::ZERO).is_ok());
    let ids: Vec<String> = shop.entries().iter().map(|entry| entry.id.clone()).collect();
    assert_eq!(ids, [token.id()]);
}

#[tokio::test]
async fn a_zone_gets_the_next_one_of_what_it_has() {
    let shop = shop(Issuers::default()).await;
    let (admin, now) = (of_admin(), Timestamp::UNIX_EPOCH);
    for (order, how) in [(zone(&[Scope::Cp, Scope::Egress]), How::Renewal), (control_plane(), How::Rotation)] {
        let first = shop.issuer.issue(&admin, &order).await.unwrap();
        let proof = tokens::verify(first.reveal(), &shop.ring(), now, &wanted()).unwrap();
        let reason = if how == How::Renewal { Reason::Due } else { Reason::KeyDrains };
        let next = shop.issuer.renew(&proof, Some(HOUR), reason).await.unwrap();
        let renewed = tokens::verify(next.reveal(), &shop.ring(), now, &wanted()).unwrap();
        assert_eq!((renewed.issued_as(), renewed.scope()), (proof.issued_as(), proof.scope()));
        let entry = shop.ledger.get(&next.key().family, next.id()).unwrap().entry;
        assert_eq!((entry.by.as_str(), entry.how), ("zone west", how));
    }
    let first = shop.issuer.issue(&admin, &zone(&[Scope::Cp])).await.unwrap();
    let proof = tokens::verify(first.reveal(), &shop.ring(), now, &wanted()).unwrap();
    assert!(shop.issuer.renew(&proof, None, Reason::Due).await.is_err(), "what has an end gets no token without");
}

#[tokio::test]
async fn of_tokens_without_an_end_a_moment_means_those_that_somebody_has() {
    let store: Arc<dyn ResourceStore> = Arc::new(Database::new().instance());
    let (clock, tasks) = (Clock::starting_at(Timestamp::UNIX_EPOCH), Tasks::new());
    let key = tokens::generate_signing_key();
    let secret = model::Resource {
        key: Key::global(model::Kind::GLOBAL_SECRET, "control-plane-signing-key-0001"),
        labels: model::Labels::new(),
        spec: model::secret::encode(key.reveal().as_bytes()),
        status: None,
        owner: None,
        created: Timestamp::UNIX_EPOCH,
        modified: Timestamp::UNIX_EPOCH,
    };
    store.put(secret, store::Precondition::Absent).await.unwrap();
    let keys = Keys::start(&store, &tasks).await.unwrap();
    let ledger = Ledger::start(&store, &clock, &tasks).await.unwrap();
    let issuer = Issuer::new(keys.clone(), clock.clone(), Issuers::default(), ledger);
    let page = |zone: &str| Order::ControlPlane { zone: ZoneName::parse(zone).unwrap(), valid_for: None };
    let admin = of_admin();
    issuer.issue(&admin, &page("west")).await.unwrap();
    let revoke = async |what: tokens::Revoked| {
        let rule = tokens::RevocationRule {
            family: Family::ControlPlane,
            what,
            before: Some(Timestamp::UNIX_EPOCH + HOUR),
            spared: Default::default(),
            keys: Some([1].into()),
        };
        let (id, by, at) = (Uuid::new_v4(), "john".to_owned(), Timestamp::UNIX_EPOCH);
        let record =
            crate::records::revocation::Revocation { id, rule, reason: None, by, at, until: None, keys_gone: None };
        let name =
            crate::records::key::<crate::records::revocation::Revocation>(&crate::records::Record::rest(&record));
        let write = crate::records::write(&record, store::Precondition::Absent, at).unwrap();
        store.apply(Batch::of(vec![write])).await.unwrap();
        assert!(keys.in_force(&name.name).await);
    };
    revoke(tokens::Revoked::All).await;
    let refused = |issued: Result<Token, NotIssued>| {
        matches!(issued, Err(NotIssued::Failed(IssueError::RevokedWithoutEnd { .. })))
    };
    assert!(refused(issuer.issue(&admin, &page("west")).await), "somebody has it");
    let east = issuer.issue(&admin, &page("east")).await.unwrap();
    let want = Want { zone: "east", ..wanted() };
    tokens::verify(east.reveal(), &keys.ring(), clock.now(), &want).unwrap();
    assert_eq!(issuer.issue(&admin, &page("east")).await.unwrap().reveal(), east.reveal(), "the same one");
    revoke(tokens::Revoked::Zone("north".to_owned())).await;
    assert!(refused(issuer.issue(&admin, &page("north")).await), "whoever names a zone means all that it could have");
    tasks.stop();
}

#[tokio::test]
async fn no_token_is_issued_that_is_refused_from_its_birth() {
    let until = Timestamp::UNIX_EPOCH;
    let shop = shop(Issuers { without_end_until: Some(until), ..Issuers::default() }).await;
    let refused = shop.issuer.issue(&of_admin(), &control_plane()).await.map(drop).unwrap_err();
    assert_eq!(refused, NotIssued::WithoutEndOver { until });
    assert!(refused.to_string().contains("--valid-for"), "{refused}");
    let with_end = Order::ControlPlane { zone: ZoneName::parse("west").unwrap(), valid_for: Some(HOUR) };
    assert!(shop.issuer.issue(&of_admin(), &with_end).await.is_ok());
    let later = self::shop(Issuers { without_end_until: Some(until + HOUR), ..Issuers::default() }).await;
    assert!(later.issuer.issue(&of_admin(), &control_plane()).await.is_ok());
}

/// Who signs zone tokens with a key outside of the store, and the ring with its public half.
async fn outside(shop: &Shop, by: SignedBy, public: Option<String>) -> Signers {
    let (family, kid) = (Family::Zone, Some("outside".to_owned()));
    let settings = [SignerSettings { family, kid, by, public: public.map(String::into_bytes) }];
    let started = Signers::start(&Arc::default(), &settings, SigningMetrics::default(), &Tasks::new()).await;
    let (signers, keys) = started.unwrap();
    shop.rings.send_replace(Arc::new(ring(2).with_static_keys(Arc::clone(&keys.borrow()))));
    signers
}

#[tokio::test]
async fn the_key_of_the_settings_signs_although_the_store_has_one() {
    let (shop, folder) = (shop(Issuers::default()).await, tempfile::tempdir().unwrap());
    let file = folder.path().join("key.pem");
    std::fs::write(&file, tokens::generate_key(Algorithm::EdDsa).reveal()).unwrap();
    let signers = outside(&shop, SignedBy::File(file), None).await;
    let issuer = shop.issuer.clone().with_signers(signers.clone());
    let token = issuer.issue(&of_admin(), &zone(&[Scope::Cp])).await.unwrap();
    assert_eq!((token.kid(), token.algorithm()), (Some("outside"), Algorithm::EdDsa));
    let verified = tokens::verify(token.reveal(), &shop.ring(), Timestamp::UNIX_EPOCH, &wanted()).unwrap();
    assert_eq!(verified.kid(), "outside");
    assert_eq!(shop.entries().len(), 1);
    assert_eq!(signers.states()[0].problem, None);
    let next = issuer.renew(&verified, Some(HOUR), Reason::Due).await.unwrap();
    assert_eq!(next.kid(), Some("outside"), "the next one of a zone is of the same key");
    let of_store = issuer.issue(&of_admin(), &control_plane()).await.unwrap();
    assert_eq!(of_store.kid(), None, "another family has another key");
}

#[tokio::test]
async fn what_is_not_signed_outside_is_not_issued_and_leaves_nothing() {
    let shop = shop(Issuers::default()).await;
    let words = ["sh", "-c", "echo rubbish; exit 3"].map(str::to_owned).to_vec();
    let public = tokens::public_half(tokens::generate_key(Algorithm::Es256).reveal()).unwrap();
    let signers = outside(&shop, SignedBy::Command(words), Some(public)).await;
    let issuer = shop.issuer.clone().with_signers(signers.clone());
    let refused = issuer.issue(&of_admin(), &zone(&[Scope::Cp])).await.unwrap_err();
    let NotIssued::Failed(IssueError::Outside { kid, problem }) = &refused else { panic!("{refused:?}") };
    assert_eq!((kid.as_str(), problem.to_string().as_str()), ("outside", "command `sh`: it failed (exit status: 3)"));
    assert!(shop.entries().is_empty(), "no key of the store signs instead");
    assert_eq!(signers.states()[0].problem.as_deref(), Some("command `sh`: it failed (exit status: 3)"));
    assert!(issuer.issue(&of_admin(), &user()).await.is_ok(), "another family has another key");
}
