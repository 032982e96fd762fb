//! What is to be revoked: read and checked as far as that goes without looking at what is stored.

use jiff::Timestamp;
use model::ZoneName;
use thiserror::Error;
use tokens::{Family, Revoked};

/// How long a reason may be, in bytes.
const LONGEST_REASON: usize = 1024;

/// A revocation that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(super) family: Family,
    pub(super) which: Which,
    pub(super) reason: Option<String>,
}

/// Which tokens of a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// The one with this id.
    Id(String),
    /// All that a zone has.
    Zone(ZoneName),
    /// All that the key of this serial signed.
    Key(u64),
    /// All that were issued before this time.
    IssuedBefore(Timestamp),
}

/// Why nothing can be revoked in this way.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum NoOrder {
    /// It can be no id.
    #[error("{problem}")]
    NoId {
        /// Why.
        problem: &'static str,
    },
    /// The tokens of the family are for no zone.
    #[error("a {family} is for no zone; name its id, its key, or a time")]
    OfNoZone {
        /// The word for the tokens.
        family: &'static str,
    },
    /// The reason is a story.
    #[error("must not be longer than {LONGEST_REASON} bytes")]
    LongReason,
}

impl Order {
    /// Checks what somebody wants to revoke.
    pub(crate) fn new(family: Family, which: Which, reason: Option<String>) -> Result<Self, NoOrder> {
        match (&which, &family) {
            (Which::Id(id), _) => {
                if let Some(problem) = tokens::no_token_id(id) {
                    return Err(NoOrder::NoId { problem });
                }
            }
            (Which::Zone(_), Family::User | Family::Dataplane { .. }) => {
                return Err(NoOrder::OfNoZone { family: family.token_word() });
            }
            (Which::Zone(_) | Which::Key(_) | Which::IssuedBefore(_), _) => {}
        }
        let reason = reason.filter(|reason| !reason.trim().is_empty());
        if reason.as_ref().is_some_and(|reason| reason.len() > LONGEST_REASON) {
            return Err(NoOrder::LongReason);
        }
        Ok(Self { family, which, reason })
    }

    pub(super) fn what(&self) -> Revoked {
        match &self.which {
            Which::Id(id) => Revoked::Id(id.clone()),
            Which::Zone(zone) => Revoked::Zone(zone.to_string()),
            Which::Key(serial) => Revoked::Key(*serial),
            Which::IssuedBefore(_) => Revoked::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(family: Family, which: Which, reason: &str, expected: Result<(), &str>) {
        let found = Order::new(family, which, Some(reason.to_owned())).map(drop).map_err(|problem| problem.to_string());
        match expected {
            Ok(()) => assert_eq!(found, Ok(())),
            Err(part) => assert!(found.as_ref().is_err_and(|found| found.contains(part)), "{found:?}"),
        }
    }

    #[test]
    fn what_can_name_no_token_is_no_order() {
        let (id, west) = (|id: &str| Which::Id(id.to_owned()), || Which::Zone(ZoneName::parse("west").unwrap()));
        let dataplane = || Family::Dataplane { mesh: "default".to_owned() };
        check(Family::User, id("5766e443-ef30-4916-afbd-a680d244fc16"), "", Ok(()));
        check(Family::ControlPlane, id("sha256:ba7816bf8f01cfea"), "", Ok(()));
        check(Family::ControlPlane, west(), "", Ok(()));
        check(Family::Zone, west(), "lost", Ok(()));
        check(dataplane(), Which::Key(0), "", Ok(()));
        for none in ["", " ", "a,b", "a b", "eyJhbGciOiJIUzI1NiJ9.eyJ9.xx", "5766e443-ef30-4916"] {
            let order = Order::new(Family::User, id(none), None);
            assert!(matches!(order, Err(NoOrder::NoId { .. })), "{none:?}: {order:?}");
        }
        check(Family::User, west(), "", Err("a user-token is for no zone"));
        check(dataplane(), west(), "", Err("a dataplane-token is for no zone"));
        check(Family::User, Which::Key(1), &"x".repeat(1025), Err("1024 bytes"));
    }

    #[test]
    fn an_empty_reason_is_none() {
        let order = Order::new(Family::User, Which::Key(1), Some(" ".to_owned())).unwrap();
        assert_eq!(order.reason, None);
    }
}
