//! Who gets which token, asked without HTTP.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use model::ZoneName;
use tokens::{Accept, KeyRing, SecretEntry, Want};
use tokio::sync::watch;

use super::*;
use crate::access::{Access, Allowed, Caller, Rule};

const HOUR: Duration = Duration::from_secs(3600);

fn ring() -> KeyRing {
    let key = tokens::generate_signing_key();
    let names = ["control-plane-signing-key-0001", "zone-token-signing-key-1", "user-token-signing-key-1"];
    let secrets = names.map(|name| SecretEntry { mesh: "", name, data: Some(key.reveal().as_bytes()) });
    KeyRing::build(1, &secrets).0
}

struct Shop {
    ring: Arc<KeyRing>,
    issuer: Issuer,
}

fn shop(issuers: Issuers) -> Shop {
    let ring = Arc::new(ring());
    let (_sender, keys) = watch::channel(Arc::clone(&ring));
    Shop { ring, issuer: Issuer::new(Keys::of(keys), Clock::starting_at(Timestamp::UNIX_EPOCH), issuers) }
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

#[tokio::test]
async fn what_is_ordered_is_what_the_token_says() {
    let Shop { ring, issuer } = shop(Issuers::default());
    let (admin, now) = (of_admin(), Timestamp::UNIX_EPOCH);
    for order in [zone(&[Scope::Cp]), control_plane()] {
        let token = issuer.issue(&admin, &order).unwrap();
        let want = Want { zone: "west", accept: Accept::CpToken, leeway: Duration::ZERO, legacy_until: None };
        let verified = tokens::verify(token.reveal(), &ring, now, &want).unwrap();
        assert_eq!((verified.zone().as_str(), verified.expires_at()), ("west", token.expires_at()));
    }
    let token = issuer.issue(&admin, &user()).unwrap();
    assert_eq!(tokens::verify_user(token.reveal(), &ring, now, Duration::ZERO).unwrap().name(), "john");
}

#[tokio::test]
async fn nobody_gets_what_their_permit_does_not_say() {
    let Shop { issuer, .. } = shop(Issuers::default());
    let registrar = of_registrar();
    assert!(issuer.issue(&registrar, &user()).is_ok());
    for order in [zone(&[Scope::Ingress]), control_plane()] {
        assert!(matches!(issuer.issue(&registrar, &order), Err(NotIssued::Denied(_))), "{order:?}");
        assert!(matches!(issuer.may_issue(&registrar, order.kind(), "west"), Err(NotIssued::Denied(_))));
    }
}

#[tokio::test]
async fn an_issuer_that_is_off_issues_nothing_that_does_the_same() {
    let Shop { issuer, .. } = shop(Issuers { control_plane: false, ..Issuers::default() });
    let admin = of_admin();
    let off = |order: &Order| issuer.issue(&admin, order).map(drop) == Err(NotIssued::Off);
    assert!(off(&control_plane()) && off(&zone(&[Scope::Cp])));
    assert!(!off(&zone(&[Scope::Ingress])) && !off(&user()));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_signed_with_a_key_that_may_be_gone() {
    let store = store::testing::Database::new().instance();
    let shared: Arc<dyn store::ResourceStore> = Arc::new(store.clone());
    let keys = Keys::start(&shared, &crate::tasks::Tasks::new()).await.unwrap();
    let issuer = Issuer::new(keys, Clock::starting_at(Timestamp::UNIX_EPOCH), Issuers::default());
    assert!(matches!(issuer.issue(&of_admin(), &control_plane()), Err(NotIssued::Failed(_))), "there is no key");
    store.fall_behind();
    tokio::time::sleep(crate::keys::LONGEST_BEHIND).await;
    assert!(matches!(issuer.issue(&of_admin(), &control_plane()), Err(NotIssued::KeysBehind(_))));
}
