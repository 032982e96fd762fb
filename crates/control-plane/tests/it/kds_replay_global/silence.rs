//! Silence, shown by order: a marker is written and arrives, and nothing came before it.
//!
//! The marker goes over streams of the recorded zone where one of its types is idle, and over two streams of our own, so
//! that what is stored is public before the recorded zone comes.

use std::collections::{BTreeMap, BTreeSet};

use model::Kind;
use store::{Precondition, Write};
use testkit::kds::Peer;
use wire::envoy::config::core::v3::Node;

use super::{
    global::Global,
    play::{At, Player},
    recording::Rpc,
    stream::{CARRIER, Stream, marker},
};

impl Player {
    /// Waits until everything that our global has to say has arrived; returns the streams where that is certain.
    pub(crate) async fn settle(&mut self) -> BTreeSet<At> {
        self.settle_but("").await
    }

    /// The same; nothing is sent of the type `but`.
    pub(crate) async fn settle_but(&mut self, but: &str) -> BTreeSet<At> {
        let carriers: BTreeMap<At, Kind> =
            self.streams.iter().filter_map(|(at, stream)| Some((*at, stream.carrier(but)?))).collect();
        let watched = Kind::by_name(CARRIER).expect("a kind");
        let kinds: BTreeSet<Kind> = carriers.values().copied().chain([watched]).collect();
        for is_there in [true, false] {
            let write = |kind: &Kind| match is_there {
                true => Write::Put { resource: marker(*kind), expect: Precondition::Any },
                false => Write::Delete { key: marker(*kind).key, expect: Precondition::Any },
            };
            self.global.write(kinds.iter().map(write).collect()).await;
            for watch in &mut self.watch {
                assert!(watch.marker(watched, is_there).await, "the watching streams live");
            }
            for (at, kind) in &carriers {
                self.streams.get_mut(at).expect("a stream").marker(*kind, is_there).await;
            }
        }
        carriers.into_keys().collect()
    }

    /// Fails if something came that the recording does not have.
    pub(crate) async fn nothing_else(&mut self) {
        self.settle().await;
        let mut more = Vec::new();
        for ((_, rpc), stream) in &mut self.streams {
            for response in stream.leftovers() {
                let names: Vec<_> = response.resources.iter().map(|one| one.name.clone()).collect();
                let text = format!("{} {names:?}, without {:?}", response.type_url, response.removed_resources);
                more.push((rpc.name(), format!("also sends {text}")));
            }
        }
        for (rpc, ours) in more {
            self.note(rpc, &ours, "silence");
        }
    }
}

/// Two streams of our own, with and without the hash suffix: what they were sent is public.
pub(crate) async fn watch(global: &Global) -> (Peer, Vec<Stream>) {
    let peer = global.connect().await;
    let mut watch = Vec::new();
    for (zone, features) in [("replay-watch-1", &["hash-suffix"][..]), ("replay-watch-2", &[])] {
        let proof = global.proof(zone);
        let proof = proof.as_ref().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers: Vec<_> = [("client-id", zone)].into_iter().chain(proof).collect();
        let mut stream = Stream::new(zone, peer.open(&Rpc::GlobalToZone.path(), &headers));
        let text =
            |text: &str| prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(text.to_owned())) };
        let features = prost_types::ListValue { values: features.iter().map(|feature| text(feature)).collect() };
        let features = prost_types::Value { kind: Some(prost_types::value::Kind::ListValue(features)) };
        let metadata = prost_types::Struct { fields: [("features".to_owned(), features)].into() };
        stream.subscribe(CARRIER, Node { id: zone.to_owned(), metadata: Some(metadata) });
        let first = stream.response(CARRIER).await.expect("an answer");
        stream.acknowledge(&first);
        watch.push(stream);
    }
    (peer, watch)
}
