//! When what an insight tells of counts as online (contract: kds 8.1).

use prost::Message as _;
use serde_json::Value;
use wire::kuma::{
    mesh::v1alpha1::{DataplaneInsight, DiscoverySubscription},
    system::v1alpha1::{KdsSubscription, ZoneInsight},
};

use crate::Kind;

/// One connection as an insight keeps it: a message, or what an API shows of it.
pub trait Subscription {
    /// Whether it was opened.
    fn is_begun(&self) -> bool;
    /// Whether it was closed.
    fn is_ended(&self) -> bool;
}

/// Returns whether one of the connections is open: begun and not ended.
pub fn online<'a, S: Subscription + 'a>(subscriptions: impl IntoIterator<Item = &'a S>) -> bool {
    subscriptions.into_iter().any(|one| one.is_begun() && !one.is_ended())
}

/// Returns whether the spec of a stored insight tells of a connection that is open; not for one that nobody can read.
pub fn is_online(kind: Kind, spec: &[u8]) -> bool {
    if kind == Kind::ZONE_INSIGHT {
        ZoneInsight::decode(spec).is_ok_and(|insight| online(&insight.subscriptions))
    } else if kind == Kind::DATAPLANE_INSIGHT {
        DataplaneInsight::decode(spec).is_ok_and(|insight| online(&insight.subscriptions))
    } else {
        false
    }
}

impl Subscription for KdsSubscription {
    fn is_begun(&self) -> bool {
        self.connect_time.is_some()
    }

    fn is_ended(&self) -> bool {
        self.disconnect_time.is_some()
    }
}

impl Subscription for DiscoverySubscription {
    fn is_begun(&self) -> bool {
        self.connect_time.is_some()
    }

    fn is_ended(&self) -> bool {
        self.disconnect_time.is_some()
    }
}

/// What an API answers: a time that cannot be read is none.
impl Subscription for Value {
    fn is_begun(&self) -> bool {
        is_time(self.get("connectTime"))
    }

    fn is_ended(&self) -> bool {
        is_time(self.get("disconnectTime"))
    }
}

fn is_time(value: Option<&Value>) -> bool {
    value.and_then(Value::as_str).is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::proto;

    #[test]
    fn open_is_begun_and_not_ended_in_every_form() {
        let (then, later) = ("2026-11-23T11:57:00Z", "2026-11-23T11:58:00Z");
        let begun = json!({"connectTime": then});
        let ended = json!({"connectTime": then, "disconnectTime": later});
        let check = |subscriptions: &[&Value], expected: bool| {
            assert_eq!(online(subscriptions.iter().copied()), expected, "{subscriptions:?}");
            let insight = json!({ "subscriptions": subscriptions });
            for kind in [Kind::ZONE_INSIGHT, Kind::DATAPLANE_INSIGHT] {
                let spec = proto::spec_from_json(kind, insight.as_object().unwrap()).unwrap();
                assert_eq!(is_online(kind, &spec), expected, "{kind} {subscriptions:?}");
            }
        };
        check(&[], false);
        check(&[&json!({})], false);
        check(&[&begun], true);
        check(&[&ended], false);
        check(&[&begun, &ended], true);
        check(&[&ended, &json!({"disconnectTime": later})], false);
    }

    #[test]
    fn what_nobody_can_read_is_not_online() {
        assert!(!is_online(Kind::ZONE_INSIGHT, b"\xff\xff"));
        assert!(!online(&[json!({"connectTime": "yesterday"})]));
    }
}
