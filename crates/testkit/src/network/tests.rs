use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

/// A zone's side, a global's side, and the relay between them.
struct Through {
    relay: Relay,
    listener: TcpListener,
}

impl Through {
    async fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let global = listener.local_addr().unwrap();
        // Its runtime cannot be made inside of another one.
        let relay = tokio::task::spawn_blocking(move || Relay::to(global, 1)).await.unwrap();
        Self { relay, listener }
    }

    async fn dial(&self) -> (TcpStream, TcpStream) {
        let zone = TcpStream::connect(self.relay.address()).await.unwrap();
        let (global, _) = timeout(LIMIT, self.listener.accept()).await.unwrap().unwrap();
        (zone, global)
    }
}

async fn says(from: &mut TcpStream, to: &mut TcpStream, text: &[u8]) {
    from.write_all(text).await.unwrap();
    hears(to, text).await;
}

async fn hears(to: &mut TcpStream, text: &[u8]) {
    let mut heard = vec![0; text.len()];
    timeout(LIMIT, to.read_exact(&mut heard)).await.expect("it arrives").unwrap();
    assert_eq!(heard, text);
}

/// Waits for the end of the connection: a close or a reset.
async fn is_told(end: &mut TcpStream) {
    let read = timeout(LIMIT, end.read(&mut [0; 16])).await.expect("the end is told");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

/// What was sent before on another connection arrives; by then this end would have heard something too.
async fn is_not_told(through: &Through, end: &mut TcpStream) {
    let (mut zone, mut global) = through.dial().await;
    says(&mut zone, &mut global, b"a new connection").await;
    says(&mut global, &mut zone, b"works").await;
    let heard = end.try_read(&mut [0; 16]);
    assert_eq!(heard.map_err(|error| error.kind()), Err(std::io::ErrorKind::WouldBlock));
}

#[tokio::test]
async fn bytes_and_ends_go_through_unchanged() {
    let through = Through::new().await;
    let (mut zone, mut global) = through.dial().await;
    let large: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
    says(&mut zone, &mut global, &large).await;
    says(&mut global, &mut zone, b"down").await;
    drop(zone);
    is_told(&mut global).await;
}

#[tokio::test]
async fn latency_is_added_in_each_direction_and_losses_hold_back_what_follows() {
    let through = Through::new().await;
    let (mut zone, mut global) = through.dial().await;
    through.relay.slow(Duration::from_millis(30), 0);
    let start = Instant::now();
    says(&mut zone, &mut global, b"up").await;
    says(&mut global, &mut zone, b"down").await;
    // A lower bound is no timing assertion: sooner is impossible however fast the machine is.
    assert!(start.elapsed() >= Duration::from_millis(60));
    through.relay.slow(Duration::ZERO, 500);
    let start = Instant::now();
    says(&mut zone, &mut global, &[7; 5 * 1448]).await;
    assert!(
        start.elapsed() >= Duration::from_millis(200),
        "half of the segments are lost, and none of them arrives early"
    );
}

#[tokio::test]
async fn a_seed_loses_the_same_segments() {
    let stalls = |seed| {
        let state = State {
            reach: Reach::Open,
            quality: Quality { latency: Duration::ZERO, lost_thousandths: 200 },
            dialled: 0,
            links: Vec::new(),
        };
        let shared = Shared { global: ([127, 0, 0, 1], 1).into(), seed, state: Mutex::new(state) };
        let mut chance = Chance::of(seed, "connection");
        (0..200).map(|_| shared.way(&mut chance).1).collect::<Vec<_>>()
    };
    assert_eq!(stalls(1), stalls(1));
    assert_ne!(stalls(1), stalls(2));
}

#[tokio::test]
async fn a_hold_delays_and_loses_nothing() {
    let through = Through::new().await;
    let (mut zone, mut global) = through.dial().await;
    says(&mut zone, &mut global, b"before").await;
    through.relay.hold();
    zone.write_all(b"during").await.unwrap();
    through.relay.heal();
    hears(&mut global, b"during").await;
}

#[tokio::test]
async fn after_a_partition_old_connections_are_dead_and_nobody_is_told() {
    let through = Through::new().await;
    let (mut zone, mut global) = through.dial().await;
    says(&mut zone, &mut global, b"before").await;
    through.relay.partition();
    zone.write_all(b"lost").await.unwrap();
    let mut into_the_dark = TcpStream::connect(through.relay.address()).await.unwrap();
    into_the_dark.write_all(b"lost too").await.unwrap();
    // The system accepts before the relay does.
    while through.relay.dialled() < 2 {
        tokio::task::yield_now().await;
    }
    through.relay.heal();
    is_not_told(&through, &mut zone).await;
    is_not_told(&through, &mut global).await;
    is_not_told(&through, &mut into_the_dark).await;
    assert_eq!(through.relay.dialled(), 5);
    drop(zone);
    is_not_told(&through, &mut global).await;
}

#[tokio::test]
async fn one_dead_direction_leaves_the_other() {
    for direction in [Direction::Up, Direction::Down] {
        let through = Through::new().await;
        let (mut zone, mut global) = through.dial().await;
        through.relay.lose(direction);
        let (dead, live) = match direction {
            Direction::Up => (&mut zone, &mut global),
            Direction::Down => (&mut global, &mut zone),
        };
        says(live, dead, b"this way").await;
        dead.write_all(b"not this way").await.unwrap();
        is_not_told(&through, live).await;
    }
}

#[tokio::test]
async fn an_abandoned_end_is_told_and_the_other_is_not() {
    for end in [End::Zone, End::Global] {
        let through = Through::new().await;
        let (mut zone, mut global) = through.dial().await;
        says(&mut zone, &mut global, b"before").await;
        through.relay.abandon(end);
        let (gone, left) = match end {
            End::Zone => (&mut zone, &mut global),
            End::Global => (&mut global, &mut zone),
        };
        is_told(gone).await;
        is_not_told(&through, left).await;
    }
}

#[tokio::test]
async fn a_cut_is_told_to_both() {
    let through = Through::new().await;
    let (mut zone, mut global) = through.dial().await;
    says(&mut zone, &mut global, b"before").await;
    through.relay.cut();
    is_told(&mut zone).await;
    is_told(&mut global).await;
}
