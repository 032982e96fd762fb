//! The configurations that zones report: nine tenths of an insight, ten kilobytes for each connection that is remembered.
//!
//! The store holds them, and here they are views of what it holds, not a second copy. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use wire::kuma::system::v1alpha1::ZoneInsight;

/// The configurations of one zone, by subscription.
#[derive(Debug, Default)]
pub(super) struct Configs(BTreeMap<String, Bytes>);

/// What is read of an encoded insight: texts as parts of it, where the generated messages copy.
#[derive(Clone, PartialEq, Message)]
struct Views {
    #[prost(message, repeated, tag = "1")]
    subscriptions: Vec<View>,
}

#[derive(Clone, PartialEq, Message)]
struct View {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(bytes = "bytes", tag = "8")]
    config: Bytes,
}

impl Configs {
    /// Takes the configurations out of an insight that was decoded from these bytes, or encoded to them.
    pub(super) fn take_from(insight: &mut ZoneInsight, spec: &Bytes) -> Self {
        // What was decoded a moment ago can be decoded; if not, the configurations stay where they are.
        let Ok(views) = Views::decode(spec.clone()) else { return Self::default() };
        for subscription in &mut insight.subscriptions {
            subscription.config = String::new();
        }
        let views = views.subscriptions.into_iter().filter(|view| !view.config.is_empty());
        Self(views.map(|view| (view.id, view.config)).collect())
    }

    /// Encodes an insight with its configurations. Those that are new in it are kept here from then on.
    pub(super) fn encode(&mut self, insight: &mut ZoneInsight) -> Bytes {
        for subscription in insight.subscriptions.iter_mut().filter(|subscription| subscription.config.is_empty()) {
            if let Some(config) = self.get(&subscription.id) {
                subscription.config = config;
            }
        }
        let spec = Bytes::from(insight.encode_to_vec());
        *self = Self::take_from(insight, &spec);
        spec
    }

    pub(super) fn get(&self, subscription: &str) -> Option<String> {
        self.0.get(subscription).map(|config| String::from_utf8_lossy(config).into_owned())
    }

    /// Takes over those of others whose subscriptions are in none of these.
    pub(super) fn add(&mut self, others: Self) {
        for (subscription, config) in others.0 {
            self.0.entry(subscription).or_insert(config);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use wire::kuma::system::v1alpha1::KdsSubscription;

    use super::*;

    fn insight(subscriptions: &[(&str, &str)]) -> ZoneInsight {
        let subscriptions = subscriptions.iter().map(|(id, config)| KdsSubscription {
            id: (*id).to_owned(),
            config: (*config).to_owned(),
            generation: 7,
            ..Default::default()
        });
        ZoneInsight { subscriptions: subscriptions.collect(), ..Default::default() }
    }

    #[test]
    fn what_is_written_has_all_configurations() {
        let whole = insight(&[("a", "{\"a\":1}"), ("b", ""), ("c", "{}")]);
        let spec = Bytes::from(whole.encode_to_vec());
        let mut kept = whole;
        let mut configs = Configs::take_from(&mut kept, &spec);
        assert_eq!(kept, insight(&[("a", ""), ("b", ""), ("c", "")]));
        assert_eq!(configs.encode(&mut kept), spec);
        assert_eq!(configs.encode(&mut kept), spec, "and again");
        assert_eq!(configs.get("a").as_deref(), Some("{\"a\":1}"));
        assert_eq!(configs.get("b"), None);
    }

    #[test]
    fn a_new_configuration_replaces_the_old_one() {
        let mut kept = insight(&[("a", "old")]);
        let mut configs = Configs::default();
        configs.encode(&mut kept);
        kept.subscriptions[0].config = "new".to_owned();
        configs.encode(&mut kept);
        assert_eq!(configs.get("a").as_deref(), Some("new"));
    }

    #[test]
    fn a_configuration_goes_with_its_subscription() {
        let mut kept = insight(&[("a", "1"), ("b", "2")]);
        let mut configs = Configs::default();
        configs.encode(&mut kept);
        kept.subscriptions.remove(0);
        let spec = configs.encode(&mut kept);
        assert_eq!(ZoneInsight::decode(spec).unwrap(), insight(&[("b", "2")]));
        assert_eq!(configs.get("a"), None);
    }

    #[test]
    fn a_configuration_in_memory_is_a_part_of_what_is_stored() {
        let mut kept = insight(&[("a", "configuration")]);
        let mut configs = Configs::default();
        let spec = configs.encode(&mut kept);
        assert!(spec.as_ptr_range().contains(&configs.0["a"].as_ptr()));
    }
}
