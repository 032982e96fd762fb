//! What the log does on a disk that fills.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::*;

const TOTAL: u64 = 64 << 20;

/// A disk that others fill as they like.
fn disk() -> (Arc<AtomicU64>, Room) {
    let free = Arc::new(AtomicU64::new(TOTAL));
    let seen = Arc::clone(&free);
    (free, Room::new(move || Some(Space { total: TOTAL, free: seen.load(Ordering::Relaxed) })))
}

#[test]
fn what_the_store_keeps_back_is_not_for_the_log() {
    let check = |total: u64, expected: u64| assert_eq!(kept(Space { total, free: 0 }), expected, "{total}");
    check(0, 0);
    check(12 << 20, 1_572_864 + 2 * 251_658);
    check(1 << 40, 12 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_lines_stops_before_the_last_part_of_the_disk() {
    let (free, mut room) = disk();
    let mut said = Vec::new();
    for _ in 0..100_000 {
        let (notice, has_room) = room.admit(1000, false);
        said.extend(notice);
        if has_room {
            free.fetch_sub(1000, Ordering::Relaxed);
        }
    }
    let kept = kept(Space { total: TOTAL, free: 0 });
    let left = free.load(Ordering::Relaxed);
    assert!(left < kept && left >= kept - LOOK_AFTER - 1000, "{left} of {kept}");
    assert!(matches!(said[..], [Notice::Short { .. }]), "said once: {said:?}");
    // Room, but only just: it stays silent.
    free.store(kept, Ordering::Relaxed);
    tokio::time::advance(LOOK_EVERY).await;
    assert_eq!(room.admit(1000, false), (None, false));
    free.store(TOTAL / 2, Ordering::Relaxed);
    assert_eq!(room.admit(1000, false), (None, false), "one look a second");
    tokio::time::advance(LOOK_EVERY).await;
    let written = (TOTAL - left) / 1000;
    assert_eq!(room.admit(1000, false), (Some(Notice::RoomAgain { left_out: 100_000 - written + 2 }), true));
    assert_eq!(room.admit(1000, false), (None, true));
}

#[tokio::test(start_paused = true)]
async fn who_did_what_has_a_little_room_when_nothing_else_has() {
    let (free, mut room) = disk();
    free.store(1 << 20, Ordering::Relaxed);
    assert_eq!(room.admit(100, false), (Some(Notice::Short { free: 1 << 20 }), false));
    let written = (0..100_000).filter(|_| room.admit(100, true).1).count() as u64;
    assert_eq!(written, ALLOWANCE / 100);
    tokio::time::advance(LOOK_EVERY).await;
    assert_eq!(room.admit(100, true), (None, false), "no new allowance without room in between");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_cannot_be_looked_at_has_room() {
    let mut room = Room::new(|| None);
    assert_eq!(room.admit(1000, false), (None, true));
}
