//! Any question of a global: it is understood, and answered under its id.

use prost::Message as _;
use testkit::fuzz::{Direction, Form, Inputs, messages};

use super::*;
use crate::kds::global::admin::Answer;

#[test]
fn any_question_is_answered_under_its_id() {
    let methods = ["StreamXDSConfigs", "StreamStats", "StreamClusters"];
    let recorded: Vec<_> = methods.iter().flat_map(|method| messages(method, Direction::FromGlobal)).collect();
    let question = StatsRequest {
        request_id: "1".to_owned(),
        resource_type: "Dataplane".to_owned(),
        resource_name: "dp".to_owned(),
        resource_mesh: "default".to_owned(),
        format: 1,
        used_only: true,
    };
    let inputs = Inputs::new(Form::Message).recorded(recorded).made([question.encode_to_vec()]).runs(10_000);
    testkit::fuzz!(inputs, |input| {
        answered::<XdsConfigRequest, XdsConfigResponse>(input, |question| &question.request_id);
        answered::<StatsRequest, StatsResponse>(input, |question| &question.request_id);
        answered::<ClustersRequest, ClustersResponse>(input, |question| &question.request_id);
    });
}

fn answered<A: Ask, R: Answer>(input: &[u8], id: impl Fn(&A) -> &str) {
    let Ok(question) = A::decode(input) else { return };
    let subject = question.subject();
    let known = Kind::by_name(subject.kind);
    assert!(known.is_none_or(|kind| kind.name == subject.kind));
    let path = question.envoy_path();
    assert!(http::Uri::try_from(&path).is_ok_and(|uri| uri.path_and_query().is_some_and(|path| path == path.as_str())));
    assert!(path.starts_with('/') && !path.ends_with(['?', '&']), "{path}");
    let answers = [Ok(Bytes::new()), Ok(Bytes::from_static(b"{}")), Err(format!("no {}", subject.name))];
    for answer in answers {
        let sent = R::decode(question.answer(answer.clone())).expect("what is sent can be read");
        assert_eq!(sent.into_parts(), (id(&question).to_owned(), answer));
    }
}
