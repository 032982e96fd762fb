//! Which stream of a zone is asked.

use super::*;

#[tokio::test]
async fn the_newest_stream_is_asked_and_the_one_before_it_when_it_ends() {
    let (asker, zone) = (Asker::default(), ZoneName::parse("west").unwrap());
    let question = Question {
        view: ProxyView::Stats,
        kind: "Dataplane".to_owned(),
        mesh: "default".to_owned(),
        name: "web".to_owned(),
        json: false,
        include_eds: false,
        used_only: false,
    };
    let not_connected = Err(AskError::NotConnected { zone: zone.clone() });
    let (old, mut asked_old) = asker.opened(&zone, ProxyView::Stats);
    let (new, mut asked_new) = asker.opened(&zone, ProxyView::Stats);
    let answer = async |questions: &mut mpsc::Receiver<Box<(String, Question)>>, text: &'static str| {
        let (id, _question) = *questions.recv().await.unwrap();
        assert!(asker.answered(&id, Ok(Bytes::from_static(text.as_bytes()))));
    };
    let (said, ()) = tokio::join!(asker.ask(&zone, question.clone()), answer(&mut asked_new, "new"));
    assert_eq!(said, Ok(Bytes::from_static(b"new")));
    asker.closed(&zone, ProxyView::Stats, new);
    let (said, ()) = tokio::join!(asker.ask(&zone, question.clone()), answer(&mut asked_old, "old"));
    assert_eq!(said, Ok(Bytes::from_static(b"old")));
    asker.closed(&zone, ProxyView::Stats, old);
    assert_eq!(asker.ask(&zone, question).await, not_connected);
    assert!(asker.lock().streams.is_empty());
}
