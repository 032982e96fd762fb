//! The instances that work with one store: who is there, and which one leads.
//!
//! An instance is there for as long as its lease runs. One of them leads, and does what has to be done once for all of them;
//! it writes under its [`Epoch`], so that what an instance writes that led before is refused.

mod metrics;

use std::{collections::BTreeMap, sync::Arc};

use prometheus_client::registry::Registry;
pub use store::Epoch;
use tokio::sync::watch;

/// Those that are there, by name.
pub type Members = Arc<BTreeMap<String, Member>>;

/// An instance that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// `<hostname>-<4 hex>`, new at each start.
    pub instance: String,
    /// Where the others reach it, as `host:port`; none while it serves nobody there.
    pub inter_cp: Option<String>,
}

/// A handle on what is known of the instances. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cluster {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    me: String,
    members: watch::Sender<Members>,
    leading: watch::Sender<Option<Epoch>>,
}

impl Cluster {
    /// The only one that works with its store, which always leads.
    pub fn alone(instance: &str) -> Self {
        let me = Member { instance: instance.to_owned(), inter_cp: None };
        let shared = Shared {
            me: instance.to_owned(),
            members: watch::Sender::new(Arc::new(BTreeMap::from([(instance.to_owned(), me)]))),
            leading: watch::Sender::new(Some(Epoch::ALONE)),
        };
        Self { shared: Arc::new(shared) }
    }

    /// One of some instances, each with where the others reach it.
    #[cfg(test)]
    pub(crate) fn among(me: &str, others: &[(&str, Option<&str>)]) -> Self {
        let cluster = Self::alone(me);
        let member = |(name, inter_cp): &(&str, Option<&str>)| {
            let inter_cp = inter_cp.map(str::to_owned);
            ((*name).to_owned(), Member { instance: (*name).to_owned(), inter_cp })
        };
        cluster.shared.members.send_modify(|members| Arc::make_mut(members).extend(others.iter().map(member)));
        cluster
    }

    /// What this instance is called.
    pub fn me(&self) -> &str {
        &self.shared.me
    }

    /// Follows who is there: those whose lease runs, and always this instance. One whose own lease is over keeps the picture
    /// that it had.
    pub fn members(&self) -> watch::Receiver<Members> {
        self.shared.members.subscribe()
    }

    /// Follows whether this instance leads, and since which epoch.
    pub fn leading(&self) -> watch::Receiver<Option<Epoch>> {
        self.shared.leading.subscribe()
    }

    /// Registers the metric that says whether this instance leads.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(metrics::Leader(self.leading())));
    }

    /// Tells the others where this instance is reached from now on, as `host:port`.
    pub fn announce(&self, inter_cp: &str) {
        self.shared.members.send_modify(|members| {
            if let Some(me) = Arc::make_mut(members).get_mut(&self.shared.me) {
                me.inter_cp = Some(inter_cp.to_owned());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode_registry;

    use super::*;

    #[test]
    fn who_is_alone_leads_and_is_there() {
        let cluster = Cluster::alone("cp-1");
        cluster.announce("10.0.0.1:5683");
        let members = cluster.members().borrow().clone();
        let shown: Vec<_> = members.values().map(|one| (one.instance.as_str(), one.inter_cp.as_deref())).collect();
        assert_eq!(shown, [("cp-1", Some("10.0.0.1:5683"))]);
        assert_eq!((cluster.me(), *cluster.leading().borrow()), ("cp-1", Some(Epoch::ALONE)));
        let (mut registry, mut text) = (Registry::default(), String::new());
        cluster.register(&mut registry);
        encode_registry(&mut text, &registry).unwrap();
        assert!(text.ends_with("leader 1\n"), "{text}");
    }
}
