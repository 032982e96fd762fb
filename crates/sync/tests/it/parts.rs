//! Large changes come in parts; whatever changes between the parts, the consumer ends up with the truth.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use proptest::collection::vec;
use sync::{Audience, DeltaRequest, Entry, Features, Sender, Snapshot, WireName};

use crate::seeds::each_seed;

#[test]
fn parts_of_large_changes_converge() {
    let change = (vec((0..12_u8, 0..4_u8, 0..400_usize), 0..8), vec(0..12_u8, 0..4), 0..4_usize);
    each_seed("parts_of_large_changes_converge", &vec(change, 1..20), |changes| {
        let audience = Audience { zone: "west".to_owned(), features: Features::NONE, drops_rejected_batches: false };
        let mut sender = Sender::new(audience);
        let mut snapshot = Snapshot::empty("K");
        let mut has: BTreeMap<String, String> = BTreeMap::new();
        let first = DeltaRequest { kind: "K".to_owned(), ..DeltaRequest::default() };
        sender.on_request(first.clone()).unwrap();
        let mut listen = |sender: &mut Sender, times: usize| {
            for _ in 0..times {
                let Some(response) = sender.next_within(700) else { return };
                let bytes: usize = response.changed.iter().map(|entry| entry.payload.len()).sum();
                assert!(bytes <= 700, "{bytes}");
                has.extend(response.changed.iter().map(|entry| (entry.name.to_string(), entry.version.clone())));
                for name in &response.removed {
                    assert!(has.remove(&name.to_string()).is_some(), "{name} was never sent");
                }
                sender.on_request(DeltaRequest { nonce: response.nonce, ..first.clone() }).unwrap();
            }
        };
        listen(&mut sender, 1);
        for (puts, deletes, times) in changes {
            let upserts = puts.iter().map(|(name, owner, size)| entry(*name, *owner, *size)).collect();
            let deletes: Vec<WireName> = deletes.iter().map(|name| WireName::parse(&format!("e{name}.m"))).collect();
            snapshot = snapshot.with_changes(upserts, &deletes);
            sender.on_snapshot(Arc::new(snapshot.clone()));
            listen(&mut sender, times);
        }
        listen(&mut sender, 1000);
        let visible = snapshot.entries().values().filter(|entry| entry.origin_zone.is_none());
        let expected: BTreeMap<_, _> = visible.map(|entry| (entry.name.to_string(), entry.version.clone())).collect();
        assert_eq!(has, expected);
    });
}

/// One in four is the zone's own and not for it.
fn entry(name: u8, owner: u8, size: usize) -> Entry {
    Entry {
        name: WireName::parse(&format!("e{name}.m")),
        version: format!("{owner}/{size}"),
        payload: Bytes::from(vec![0; size]),
        origin_zone: (owner == 0).then(|| "west".to_owned()),
        needs: Features::NONE,
        needs_for_all: Features::NONE,
    }
}
