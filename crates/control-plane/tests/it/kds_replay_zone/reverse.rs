//! Reverse requests: what global asks about a proxy, what the zone asks the proxy, and what it answers.

use std::collections::BTreeMap;

use prost::Message as _;
use wire::kuma::mesh::v1alpha1::{AdminOutputFormat, ClustersRequest, StatsRequest, XdsConfigRequest};

use super::{
    envoy::{Envoy, Reply},
    link::{Answer, Link},
    listed::Found,
    recording::{CONFIGS, STATS},
};

/// The reverse requests of one connection.
#[derive(Default)]
pub(crate) struct Reverse {
    /// Answers that came before they were expected, by stream.
    known: BTreeMap<&'static str, Vec<Answer>>,
    /// Which path a request comes down to, by id.
    paths: BTreeMap<String, String>,
}

impl Reverse {
    /// Sends a request; the proxy will answer so that the recorded answer follows.
    pub(crate) async fn ask(
        &mut self,
        link: &mut Link,
        envoy: &Envoy,
        method: &'static str,
        request: &[u8],
        recorded: Option<&Answer>,
    ) {
        let path = path(method, request);
        match recorded.and_then(|answer| answer.result.clone()) {
            Some(Ok(body)) => envoy.set(&path, Reply::Body(body)),
            Some(Err(text)) if text.contains("context deadline exceeded") => envoy.set(&path, Reply::Never),
            _ => {}
        }
        self.paths.insert(request_id(request), path);
        link.call(method).await.send(request);
    }

    /// Takes the answer of our zone in the place of a recorded one.
    pub(crate) async fn answered(
        &mut self,
        link: &mut Link,
        envoy: &Envoy,
        method: &'static str,
        recorded: &Answer,
        found: &mut Found,
    ) {
        let ours = link.reverse_answer(method, self.known.entry(method).or_default(), &recorded.id).await;
        let path = self.paths.remove(&recorded.id).expect("a request before its answer");
        // Addresses, and the words of the HTTP library behind the colon, are not the same.
        let told = |text: &str| text.starts_with("unable to send GET to config_dump: ");
        match (&ours.result, &recorded.result) {
            (Some(Err(our)), Some(Err(their))) if our != their && told(our) && told(their) => {
                let cause = if their.contains("deadline exceeded") { "a proxy that is silent" } else { "no proxy" };
                found.note(format!("reverse request, {cause}"), our.as_str());
            }
            _ => assert_eq!(ours, *recorded, "{path}"),
        }
        // Two at a time ask the same.
        let asked = envoy.take_asked();
        assert!(asked.iter().all(|asked| *asked == path), "{asked:?} for {path}");
    }
}

/// All three requests have their id in the same field.
pub(crate) fn request_id(request: &[u8]) -> String {
    XdsConfigRequest::decode(request).unwrap().request_id
}

/// What a proxy is asked for a request (contract: kds 8.5).
fn path(method: &str, request: &[u8]) -> String {
    match method {
        CONFIGS if XdsConfigRequest::decode(request).unwrap().include_eds => "/config_dump?include_eds=true",
        CONFIGS => "/config_dump",
        STATS => {
            let request = StatsRequest::decode(request).unwrap();
            match (request.format(), request.used_only) {
                (AdminOutputFormat::Json, true) => "/stats?format=json&usedonly=",
                (AdminOutputFormat::Text, true) => "/stats?usedonly=",
                (format, used) => panic!("no recorded global asks for {format:?}, {used}"),
            }
        }
        _ => match ClustersRequest::decode(request).unwrap().format() {
            AdminOutputFormat::Json => "/clusters?format=json",
            AdminOutputFormat::Text => "/clusters",
        },
    }
    .to_owned()
}
