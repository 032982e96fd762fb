//! Which instance of a zone talks to global: the one that leads on their store. The others wait, and say for whom.

use tokio::sync::watch;
use tracing::info;

use crate::{
    cluster::{Cluster, Epoch},
    kds::link::{Link, LinkState},
};

/// Whether this instance leads, and which one does otherwise. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Lead {
    me: String,
    leading: watch::Receiver<Option<Epoch>>,
    leader: watch::Receiver<Option<String>>,
}

impl Lead {
    /// Follows the instances on one store.
    pub(crate) fn of(cluster: &Cluster) -> Self {
        Self { me: cluster.me().to_owned(), leading: cluster.leading(), leader: cluster.leader() }
    }

    /// Resolves when this instance leads; until then `link` says who does.
    pub(super) async fn begins(&mut self, link: &Link) -> Epoch {
        let mut waits = false;
        loop {
            if let Some(epoch) = *self.leading.borrow_and_update() {
                if waits {
                    info!(epoch = epoch.0, "this instance leads its zone from now on");
                }
                return epoch;
            }
            let leader = self.leader();
            if !std::mem::replace(&mut waits, true) {
                info!(leader, "another instance of this zone talks to the global control plane, this one stands by");
            }
            link.set(LinkState::StandsBy { leader });
            let changed = tokio::select! {
                changed = self.leading.changed() => changed,
                changed = self.leader.changed() => changed,
            };
            if changed.is_err() {
                // Nobody will ever say so again: the program ends.
                return std::future::pending().await;
            }
        }
    }

    /// Resolves when this instance leads in this epoch no more. Cancel safe.
    pub(super) async fn ends(&mut self, epoch: Epoch) {
        if self.leading.wait_for(|leading| *leading != Some(epoch)).await.is_err() {
            std::future::pending().await
        }
    }

    /// Who leads, for people.
    fn leader(&mut self) -> String {
        match self.leader.borrow_and_update().as_deref() {
            Some(name) if name != self.me => format!("instance `{name}`"),
            // That this one leads no more it knows before it hears who does.
            Some(_) | None => "another instance".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use store::memory::MemoryStore;
    use testkit::rpcs::DOWN;

    use super::{super::renewal::tests::Played, *};
    use crate::kds::zone::{Shared, Token};

    /// What the instances know of each other, as a test says it.
    struct Instances {
        leading: watch::Sender<Option<Epoch>>,
        leader: watch::Sender<Option<String>>,
    }

    impl Instances {
        fn new(leading: Option<Epoch>) -> Self {
            Self { leading: watch::Sender::new(leading), leader: watch::Sender::default() }
        }

        fn lead(&self) -> Lead {
            Lead { me: "a".to_owned(), leading: self.leading.subscribe(), leader: self.leader.subscribe() }
        }
    }

    #[tokio::test]
    async fn who_stands_by_says_for_whom() {
        let (instances, link) = (Instances::new(None), Link::default());
        let mut state = link.subscribe();
        let mut lead = instances.lead();
        let begins = async {
            let said = async |state: &mut watch::Receiver<LinkState>, text: &str| {
                let trouble = |state: &LinkState| state.trouble().is_some_and(|trouble| trouble.contains(text));
                state.wait_for(trouble).await.unwrap();
            };
            said(&mut state, "another instance leads").await;
            for name in ["b", "c"] {
                instances.leader.send_replace(Some(name.to_owned()));
                said(&mut state, &format!("instance `{name}` leads")).await;
            }
            instances.leader.send_replace(Some("a".to_owned()));
            said(&mut state, "another instance leads").await;
            instances.leading.send_replace(Some(Epoch(3)));
        };
        let (epoch, ()) = tokio::join!(lead.begins(&link), begins);
        assert_eq!(epoch, Epoch(3));
        instances.leading.send_replace(Some(Epoch(4)));
        lead.ends(epoch).await;
        assert_eq!(lead.begins(&link).await, Epoch(4));
    }

    #[tokio::test]
    async fn only_who_leads_is_connected_and_what_it_had_goes_with_the_lead() {
        let instances = Instances::new(None);
        let played = Played::led("one", instances.lead(), None).await;
        let mut reached = Box::pin(played.accept(&[]));
        played.stands_by().await;
        assert!(futures::poll!(&mut reached).is_pending(), "it has not dialled");
        instances.leading.send_replace(Some(Epoch(1)));
        let mut link = reached.await;
        let down = link.expect(DOWN).await;
        instances.leading.send_replace(None);
        link.is_lost().await;
        drop(down);
        played.stands_by().await;
        let mut reached = Box::pin(played.accept(&[]));
        assert!(futures::poll!(&mut reached).is_pending(), "it does not come back");
        instances.leading.send_replace(Some(Epoch(2)));
        reached.await.expect(DOWN).await;
    }

    #[tokio::test]
    async fn the_next_leader_has_the_token_that_was_renewed_last() {
        let (before, renewed) = (Played::token(3600), Played::token(60));
        let store: Arc<dyn store::ResourceStore> = Arc::new(MemoryStore::new());
        let leader = Shared::new(Arc::clone(&store), Played::clock());
        leader.keep_token(&Token::new(&renewed).unwrap()).await.unwrap();
        let instances = Instances::new(Some(Epoch::ALONE));
        let next = Shared::new(store, Played::clock());
        let played = Played::led(&before, instances.lead(), Some(next)).await;
        let mut link = played.accept(&[]).await;
        link.expect(DOWN).await;
        assert!(link.pinged_with(&renewed), "its own file has one that was replaced long ago");
    }
}
