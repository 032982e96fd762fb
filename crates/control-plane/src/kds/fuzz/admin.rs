//! Any answer of a zone to a reverse request, and any ping: only the answer with the request's id is an answer.

use bytes::Bytes;
use futures::poll;
use model::{ProxyView, ZoneName};
use prost::Message as _;
use testkit::fuzz::{Direction, Form, Inputs, messages};
use wire::kuma::mesh::v1alpha1::{
    ClustersResponse, StatsResponse, XdsConfigResponse, ZoneHealthCheckRequest, ZoneHealthCheckResponse,
    xds_config_response,
};

use crate::kds::{
    global::{
        admin::Answer,
        asker::{AskError, Asker, Question},
    },
    messages::convert,
};

fn inputs(methods: &[&str], direction: Direction, made: Vec<Vec<u8>>) -> Inputs {
    let recorded = methods.iter().flat_map(|method| messages(method, direction));
    Inputs::new(Form::Message).recorded(recorded).made(made).runs(2_500)
}

#[test]
fn only_the_answer_with_the_id_is_an_answer() {
    let text = |result| XdsConfigResponse { request_id: "1".to_owned(), result }.encode_to_vec();
    let made = vec![
        text(None),
        text(Some(xds_config_response::Result::Error("no".to_owned()))),
        text(Some(xds_config_response::Result::Config(Bytes::from_static(b"{}")))),
    ];
    let methods = ["StreamXDSConfigs", "StreamStats", "StreamClusters"];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    testkit::fuzz!(inputs(&methods, Direction::FromZone, made), |input| {
        runtime.block_on(async {
            answer::<XdsConfigResponse>(input).await;
            answer::<StatsResponse>(input).await;
            answer::<ClustersResponse>(input).await;
        });
    });
}

async fn answer<A: Answer>(input: &[u8]) {
    let Ok(message) = A::decode(input) else { return };
    let (zone, asker) = (ZoneName::parse("west").unwrap(), Asker::default());
    let (_stream, mut questions) = asker.opened(&zone, A::VIEW);
    let question = question(A::VIEW);
    let mut asked = std::pin::pin!(asker.ask(&zone, question.clone()));
    assert!(poll!(&mut asked).is_pending());
    let (id, sent) = *questions.try_recv().expect("the question is on its way");
    assert_eq!(sent, question);
    let (other, answer) = message.into_parts();
    assert!(!asker.answered(&other, Ok(Bytes::from_static(b"another's"))), "{other} is no id of a question");
    assert!(poll!(&mut asked).is_pending(), "an answer to nobody's question");
    assert!(asker.answered(&id, answer.clone()));
    assert!(!asker.answered(&id, answer.clone()), "a second answer is late");
    let expected = answer.map_err(|text| AskError::Zone { text });
    assert_eq!(poll!(&mut asked), std::task::Poll::Ready(expected));
}

fn question(view: ProxyView) -> Question {
    Question {
        view,
        kind: "Dataplane".to_owned(),
        mesh: "default".to_owned(),
        name: "dp".to_owned(),
        json: false,
        include_eds: true,
        used_only: false,
    }
}

#[test]
fn any_ping_is_read_and_any_interval_is_sane() {
    let interval = |seconds: i64, nanos: i32| {
        ZoneHealthCheckResponse { interval: Some(prost_types::Duration { seconds, nanos }) }.encode_to_vec()
    };
    let made = vec![interval(2, 0), interval(0, 0), interval(0, 1), interval(-1, 5), interval(i64::MIN, -1)];
    testkit::fuzz!(inputs(&["HealthCheck"], Direction::FromGlobal, made), |input| {
        let _nothing_in_it = ZoneHealthCheckRequest::decode(input);
        let Ok(response) = ZoneHealthCheckResponse::decode(input) else { return };
        if let Some(interval) = convert::ping_interval(&response) {
            assert!(interval >= convert::SHORTEST_PAUSE);
            assert!(response.interval.is_some_and(|given| given.seconds >= 0 || given.nanos > 0));
        }
    });
}
