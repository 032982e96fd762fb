//! Which next token a zone gets, how often one is signed for it, and who gets none.

use tokens::{Family, IssuedAs, KeyId, Phase, Phases, RingSources, Scope, SecretEntry};
use tokio::sync::watch;
use uuid::Uuid;

use super::*;
use crate::{
    config::GlobalAuth,
    issuing::Issuers,
    keys::Keys,
    ledger::{How, Ledger},
};

const START: i64 = 1_800_000_000;
const HOUR: Duration = Duration::from_secs(3600);
const NO_LEEWAY: Duration = Duration::ZERO;

/// A shop that renews tokens, with two control plane keys and two zone keys, of which the older ones may retire.
struct Shop {
    renewals: Arc<Renewals>,
    ledger: Ledger,
    keys: watch::Sender<Arc<KeyRing>>,
    pems: [tokens::PemKey; 2],
    clock: Clock,
}

impl Shop {
    async fn new(settings: config::Renewal) -> Self {
        let pems = [(); 2].map(|()| tokens::generate_signing_key());
        let (keys, ring) = watch::channel(Arc::new(KeyRing::empty()));
        let clock = Clock::starting_at(Timestamp::from_second(START).unwrap());
        let (store, tasks): (Arc<dyn store::ResourceStore>, _) =
            (Arc::new(store::memory::MemoryStore::new()), Tasks::new());
        let ledger = Ledger::start(&store, &clock, &tasks).await.unwrap();
        let issuer = Issuer::new(Keys::of(ring), clock.clone(), Issuers::default(), ledger.clone());
        let renewals = Arc::new(Renewals::new(issuer, clock.clone(), settings, tasks));
        let shop = Self { renewals, ledger, keys, pems, clock };
        shop.keep(1, &[]);
        shop
    }

    /// Has so many keys of each family, of which these serials are in a phase.
    fn keep(&self, count: u64, phases: &[(u64, Phase)]) {
        self.keys.send_replace(Arc::new(self.built(count, phases)));
    }

    fn built(&self, count: u64, phases: &[(u64, Phase)]) -> KeyRing {
        let named = |serial: u64| {
            let pem = self.pems[usize::try_from(serial - 1).unwrap()].reveal();
            [format!("control-plane-signing-key-{serial:04}"), format!("zone-token-signing-key-{serial}")]
                .map(|name| (name, pem.as_bytes().to_vec()))
        };
        let named: Vec<_> = (1..=count).flat_map(named).collect();
        let secrets: Vec<_> =
            named.iter().map(|(name, data)| SecretEntry { mesh: "", name, data: Some(data) }).collect();
        let both = |(serial, phase): &(u64, Phase)| {
            let id = |family| KeyId { family, serial: *serial };
            [(id(Family::ControlPlane), *phase), (id(Family::Zone), *phase)]
        };
        let phases = Phases::from_iter(phases.iter().flat_map(both));
        let generation = self.ring().generation() + 1;
        let sources = RingSources { secrets: &secrets, phases, ..RingSources::default() };
        let (ring, problems) = KeyRing::build_of(generation, sources);
        assert_eq!(problems, []);
        ring
    }

    fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.keys.borrow())
    }

    fn zone_token(&self, valid_for: Duration) -> String {
        let (zone, scope) = (ZoneName::parse("west").unwrap(), [Scope::Cp, Scope::Ingress]);
        let now = self.clock.now();
        tokens::issue_zone(&self.ring(), &zone, Some(&scope), valid_for, now, Uuid::new_v4())
            .unwrap()
            .reveal()
            .to_owned()
    }

    fn cp_token(&self, valid_for: Option<Duration>) -> String {
        let (zone, now) = (ZoneName::parse("west").unwrap(), self.clock.now());
        tokens::issue_control_plane(&self.ring(), &zone, valid_for, now, Uuid::new_v4()).unwrap().reveal().to_owned()
    }

    fn verify(&self, token: &str) -> VerifiedZone {
        let want = Want { zone: "west", accept: Accept::CpToken, leeway: NO_LEEWAY, legacy_until: None };
        tokens::verify(token, &self.ring(), self.clock.now(), &want).unwrap()
    }

    /// How what the ledger holds came to be.
    fn how(&self) -> Vec<How> {
        let mut how: Vec<_> = self.ledger.of_zone("west").iter().map(|known| known.entry.how).collect();
        how.sort_by_key(|how| how.as_str());
        how
    }

    async fn renew(&self, token: &str) -> Result<String, NotRenewed> {
        let proof = self.verify(token);
        let former = crate::zones::caller::ZoneCaller::Verified(proof.clone()).token().unwrap();
        Ok(self.renewals.next(proof, former, self.ring()).await?.reveal().to_owned())
    }
}

async fn shop() -> Shop {
    Shop::new(GlobalAuth::default().renewal).await
}

fn life(proof: &VerifiedZone) -> SignedDuration {
    proof.token_expires_at().unwrap().duration_since(proof.issued_at().unwrap())
}

async fn pass(duration: Duration) {
    tokio::time::advance(duration).await;
}

#[tokio::test(start_paused = true)]
async fn the_next_token_is_of_the_same_kind_and_lives_as_long() {
    let shop = shop().await;
    let (mut zone, mut cp) = (shop.zone_token(HOUR), shop.cp_token(Some(HOUR)));
    for _ in 0..5 {
        pass(HOUR * 2 / 3).await;
        for token in [&mut zone, &mut cp] {
            let former = shop.verify(token);
            *token = shop.renew(token).await.unwrap();
            let next = shop.verify(token);
            assert_eq!((next.issued_as(), next.scope()), (former.issued_as(), former.scope()));
            assert_eq!((next.zone(), life(&next)), (former.zone(), life(&former)));
            let (next, former) = (next.token_expires_at().unwrap(), former.token_expires_at().unwrap());
            assert_eq!(next.duration_since(former), SignedDuration::from_secs(2400));
        }
    }
    assert_eq!(shop.verify(&zone).scope().unwrap(), ["cp", "ingress"]);
}

#[tokio::test(start_paused = true)]
async fn a_limit_shortens_the_life_of_what_is_renewed() {
    let shop = Shop::new(config::Renewal { enabled: true, max_life: HOUR }).await;
    let next = shop.verify(&shop.renew(&shop.zone_token(HOUR * 24)).await.unwrap());
    assert_eq!(life(&next), SignedDuration::from_secs(3605));
    let short = shop.verify(&shop.renew(&shop.zone_token(HOUR / 2)).await.unwrap());
    assert_eq!(life(&short), SignedDuration::from_secs(1805));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_is_given_again() {
    let shop = shop().await;
    let token = shop.zone_token(HOUR);
    pass(HOUR * 2 / 3).await;
    let next = shop.renew(&token).await.unwrap();
    pass(Duration::from_secs(300)).await;
    assert!(shop.renew(&token).await.unwrap() == next, "nothing was signed");
    let both = tokio::join!(shop.renew(&token), shop.renew(&token));
    assert!(both.0.unwrap() == next && both.1.unwrap() == next);
    assert_eq!(shop.how(), [How::Renewal]);
    pass(Duration::from_secs(70)).await;
    let later = shop.renew(&token).await.unwrap();
    assert!(later != next, "whoever asks so much later gets one that lives as long as is said");
    // What is revoked, or signed with a key that retires, is not given again.
    shop.keep(2, &[(1, Phase::Retiring)]);
    let other = shop.renew(&token).await.unwrap();
    assert!(other != later);
    assert_eq!(shop.verify(&other).key().serial, 2);
    assert_eq!(shop.how(), [How::Renewal, How::Renewal, How::Rotation]);
}

#[tokio::test(start_paused = true)]
async fn a_token_without_end_is_renewed_when_its_key_drains_into_one_of_the_same_kind() {
    let shop = shop().await;
    let token = shop.cp_token(None);
    assert!(matches!(shop.renew(&token).await, Err(NotRenewed::WithoutEnd)));
    shop.keep(2, &[(2, Phase::Staged)]);
    assert!(matches!(shop.renew(&token).await, Err(NotRenewed::WithoutEnd)));
    shop.keep(2, &[(1, Phase::Retiring)]);
    let next = shop.renew(&token).await.unwrap();
    let proof = shop.verify(&next);
    assert_eq!((proof.issued_as(), proof.token_expires_at()), (IssuedAs::ControlPlaneToken { serial: 2 }, None));
    assert!(matches!(shop.renew(&next).await, Err(NotRenewed::WithoutEnd)), "its key does not drain");
}

#[tokio::test(start_paused = true)]
async fn nobody_walks_from_token_to_token_without_end() {
    let shop = shop().await;
    let first = shop.zone_token(HOUR);
    let mut token = first.clone();
    let mut signed = 0;
    while let Ok(next) = shop.renew(&token).await {
        (token, signed) = (next, signed + 1);
        assert!(signed <= ANSWERS);
    }
    assert_eq!((signed, shop.how().len()), (ANSWERS, ANSWERS));
    assert!(matches!(shop.renew(&token).await, Err(NotRenewed::TooMany)));
    // The zone itself, at its time, has its own room.
    pass(HOUR * 2 / 3).await;
    for _ in 0..100 {
        token = shop.renew(&token).await.unwrap_or(token);
    }
    assert!(shop.renew(&first).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_was_given_is_forgotten_in_time() {
    let shop = shop().await;
    let token = shop.zone_token(HOUR);
    pass(HOUR * 2 / 3).await;
    shop.renew(&token).await.unwrap();
    let zones = || shop.renewals.zones.lock().unwrap().len();
    assert_eq!(zones(), 1);
    pass(HOUR).await;
    let _east = shop.renewals.answers(&ZoneName::parse("east").unwrap(), shop.clock.now());
    assert_eq!(zones(), 1, "east alone");
}

#[tokio::test(start_paused = true)]
async fn who_is_not_served_hears_why() {
    let off = Shop::new(config::Renewal { enabled: false, ..GlobalAuth::default().renewal }).await;
    let refused = off.renew(&off.zone_token(HOUR)).await.unwrap_err().to_string();
    assert!(refused.contains("multizone.global.kds.auth.renewal.enabled"), "{refused}");
    let shop = shop().await;
    let token = shop.zone_token(HOUR);
    let (proof, ring) = (shop.verify(&token), shop.ring());
    let former = crate::zones::caller::ZoneCaller::Verified(proof.clone()).token().unwrap();
    shop.keys.send_replace(Arc::new(KeyRing::empty()));
    assert!(matches!(shop.renewals.next(proof, former, ring).await, Err(NotRenewed::NotIssued(NotIssued::Failed(_)))));
}

#[tokio::test]
async fn a_token_that_was_made_elsewhere_is_not_renewed_here() {
    let shop = Shop::new(config::Renewal { enabled: true, max_life: Duration::ZERO }).await;
    let elsewhere = tokens::generate_signing_key();
    let public = tokens::public_half(elsewhere.reveal().as_bytes()).unwrap();
    let settings = || {
        let mut settings = tokens::StaticKeys::default();
        settings.add(Family::Zone, "edge-1", public.as_bytes()).unwrap();
        settings
    };
    let mut alone = settings();
    alone.without_secrets(&Family::Zone);
    let ours = shop.zone_token(HOUR);
    shop.keys.send_replace(Arc::new(shop.built(1, &[]).with_static_keys(Arc::new(settings()))));
    let (zone, scope) = (ZoneName::parse("west").unwrap(), [Scope::Cp]);
    let claims = tokens::Claims::Zone { zone: &zone, scope: Some(&scope) };
    let (pem, now) = (elsewhere.reveal().as_bytes(), shop.clock.now());
    let token = tokens::sign_offline(pem, "edge-1", &claims, HOUR, now, Uuid::nil()).unwrap();
    assert!(matches!(shop.renew(&token).await, Err(NotRenewed::MadeElsewhere)));
    assert!(shop.renew(&ours).await.is_ok());
    // Who came before the settings were changed gets none that would be refused.
    let proof = shop.verify(&ours);
    let former = crate::zones::caller::ZoneCaller::Verified(proof.clone()).token().unwrap();
    shop.keys.send_replace(Arc::new(shop.built(1, &[]).with_static_keys(Arc::new(alone))));
    let refused = shop.renewals.next(proof, former, shop.ring()).await;
    assert!(matches!(refused, Err(NotRenewed::RefusedHere)), "{refused:?}");
}

#[tokio::test]
async fn a_token_of_what_signs_outside_is_renewed_and_one_of_another_key_of_the_settings_is_not() {
    let shop = shop().await;
    let [signs, elsewhere] = [(); 2].map(|()| tokens::generate_signing_key());
    let public = |key: &tokens::PemKey| tokens::public_half(key.reveal().as_bytes()).unwrap();
    let mut settings = tokens::StaticKeys::default();
    settings.add(Family::Zone, "edge-1", public(&elsewhere).as_bytes()).unwrap();
    let signer = Arc::new(tokens::PemSigner::read(signs.reveal().as_bytes()).unwrap());
    let outside = tokens::OutsideKey::new(Some("kms"), public(&signs).as_bytes(), signer).unwrap();
    settings.sign_with(Family::Zone, outside).unwrap();
    let of_store = shop.zone_token(HOUR);
    shop.keys.send_replace(Arc::new(shop.built(1, &[]).with_static_keys(Arc::new(settings))));
    for token in [shop.zone_token(HOUR), of_store] {
        let next = shop.renew(&token).await.unwrap();
        assert_eq!(shop.verify(&next).kid(), "kms");
    }
    let (zone, scope) = (ZoneName::parse("west").unwrap(), [Scope::Cp]);
    let claims = tokens::Claims::Zone { zone: &zone, scope: Some(&scope) };
    let (pem, now) = (elsewhere.reveal().as_bytes(), shop.clock.now());
    let token = tokens::sign_offline(pem, "edge-1", &claims, HOUR, now, Uuid::nil()).unwrap();
    assert!(matches!(shop.renew(&token).await, Err(NotRenewed::MadeElsewhere)), "whoever made it may be forgotten");
}
