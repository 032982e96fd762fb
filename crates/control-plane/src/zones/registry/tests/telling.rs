//! When those hear of it who serve what a sweep closes.

use futures::FutureExt as _;

use super::{
    examples::arrival,
    operator::{LEEWAY, Operator},
    *,
};

#[test]
fn what_goes_out_ends_with_the_sweep_and_who_serves_it_is_told_afterwards() {
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    let mut operator = Operator::at(now);
    let registry = Registry::new(operator.ring(), LEEWAY);
    let (token, mut here) = (operator.issue("west", 1000).unwrap(), registry.connect());
    let mut stream = registry.admit(arrival(&operator, &token, &here), now).unwrap();
    assert_eq!(here.changed().now_or_never(), Some(Standing::Proven));
    let ended = Arc::new(Mutex::new(Vec::new()));
    let ends = Arc::clone(&ended);
    stream.ends_by(move |reason| ends.lock().unwrap().push(reason.clone()));
    let woken = futures::task::noop_waker();
    let mut context = std::task::Context::from_waker(&woken);
    {
        let mut waiting = std::pin::pin!(stream.closed());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        operator.keys.clear();
        operator.generation += 1;
        let swept = registry.sweep(&operator.ring(), now, Instant::now());
        assert_eq!(ended.lock().unwrap().len(), 1);
        assert_eq!(here.changed().now_or_never(), None, "the connection was not told");
        // A handler that looks for another reason takes nothing more.
        assert!(waiting.as_mut().poll(&mut context).is_ready());
        registry.tell(&swept);
        assert_eq!(here.changed().now_or_never(), Some(Standing::Withdrawn));
    }
    let late = Arc::clone(&ended);
    stream.ends_by(move |reason| late.lock().unwrap().push(reason.clone()));
    assert_eq!(ended.lock().unwrap().len(), 2, "one that was closed already ends at once");
}
