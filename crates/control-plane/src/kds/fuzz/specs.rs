//! Any spec through the functions that change single fields of it: other fields survive, unknown ones too. What no
//! decoder takes may become anything: it is refused later.

use std::collections::BTreeSet;

use prost::Message;
use testkit::fuzz::{
    Form, Inputs,
    protobuf::{self, Field, Value},
};
use wire::{
    envoy::service::discovery::v3::DeltaDiscoveryResponse,
    kuma::mesh::v1alpha1::{Dataplane, DataplaneInsight, DiscoverySubscription, KumaResource, ZoneIngress},
};

use super::{dataplane, decoded, recorded_responses};
use crate::kds::messages::patch;

const ZONE_KEY: &str = "kuma.io/zone";
/// The tags of a gateway and of an inbound.
const TAGS: &[&[u32]] = &[&[1, 3, 1], &[1, 1, 2]];

/// The recorded specs of a kind, and one that is made here with a field that nobody knows.
fn inputs(kind: &str, made: &impl Message) -> Inputs {
    let mut seeds = BTreeSet::new();
    for response in ["GlobalToZoneSync", "ZoneToGlobalSync"].iter().flat_map(|method| recorded_responses(method)) {
        for response in decoded::<DeltaDiscoveryResponse>(&response) {
            let resources = response.resources.iter().filter(|_| response.type_url == kind);
            let specs = resources.filter_map(|one| KumaResource::decode(&*one.resource.as_ref()?.value).ok()?.spec);
            seeds.extend(specs.map(|spec| spec.value));
        }
    }
    let unknown = Field { number: 31, value: Value::Bytes(b"nobody knows".to_vec()) };
    let made = [made.encode_to_vec(), protobuf::message(&[unknown])].concat();
    Inputs::new(Form::Message).recorded(seeds).made([made]).runs(6_000)
}

/// But for the fields at these paths (numbers), everything is what it was, unknown fields too.
fn only_changed(paths: &[&[u32]], spec: &[u8], patched: &[u8]) {
    let others = |message: &[u8]| paths.iter().fold(message.to_vec(), |rest, path| without(path, &rest));
    assert_eq!(others(spec), others(patched));
}

fn without(path: &[u32], message: &[u8]) -> Vec<u8> {
    let (Some((number, rest)), Some(mut fields)) = (path.split_first(), protobuf::fields(message)) else {
        return message.to_vec();
    };
    fields.retain(|field| !rest.is_empty() || field.number != *number);
    for field in fields.iter_mut().filter(|field| field.number == *number) {
        if let Value::Bytes(inner) = &mut field.value {
            *inner = without(rest, inner);
        }
    }
    protobuf::message(&fields)
}

#[test]
fn generations_go_and_nothing_else() {
    let one = DiscoverySubscription { id: "a".to_owned(), generation: 7, ..Default::default() };
    let made = DataplaneInsight { subscriptions: vec![one.clone(), one], ..Default::default() };
    testkit::fuzz!(inputs("DataplaneInsight", &made), |spec| {
        let Ok(patched) = patch::without_generations(spec) else { return };
        if let Ok(mut expected) = DataplaneInsight::decode(spec) {
            only_changed(&[&[1, 7]], spec, &patched);
            expected.subscriptions.iter_mut().for_each(|one| one.generation = 0);
            assert_eq!(DataplaneInsight::decode(patched), Ok(expected));
        }
    });
}

#[test]
fn zone_tags_change_and_nothing_else() {
    let made = dataplane("other");
    testkit::fuzz!(inputs("Dataplane", &made).words([ZONE_KEY]), |spec| {
        let Ok((patched, rewritten)) = patch::zone_tags(spec, TAGS, "west") else { return };
        if let Ok(mut expected) = Dataplane::decode(spec) {
            only_changed(TAGS, spec, &patched);
            let networking = expected.networking.iter_mut();
            for networking in networking {
                let gateway = networking.gateway.iter_mut().map(|gateway| &mut gateway.tags);
                let inbound = networking.inbound.iter_mut().map(|inbound| &mut inbound.tags);
                for zone in gateway.chain(inbound).filter_map(|tags| tags.get_mut(ZONE_KEY)) {
                    "west".clone_into(zone);
                }
            }
            assert!(rewritten > 0 || Dataplane::decode(spec).as_ref() == Ok(&expected), "each correction is counted");
            assert_eq!(Dataplane::decode(patched), Ok(expected));
        }
    });
}

#[test]
fn a_string_is_set_and_nothing_else() {
    let made = ZoneIngress { zone: "other".to_owned(), ..Default::default() };
    testkit::fuzz!(inputs("ZoneIngress", &made), |spec| {
        let Ok(patched) = patch::with_string(spec, 1, "west") else { return };
        if let Ok(expected) = ZoneIngress::decode(spec) {
            only_changed(&[&[1]], spec, &patched);
            assert_eq!(ZoneIngress::decode(patched), Ok(ZoneIngress { zone: "west".to_owned(), ..expected }));
        }
    });
}
