//! A token that is renewed, a file that is written or not, and a human who writes it, too.

use std::{fs, path::Path};

use super::*;

fn token(text: &str) -> Token {
    Token::new(text).unwrap()
}

fn of_file(path: &Path) -> HeldToken {
    HeldToken::new(TokenSource::File(path.to_owned()), true)
}

async fn read(held: &HeldToken) -> String {
    held.read().await.unwrap().unwrap().reveal().to_owned()
}

/// Whether the watch of the file tells of a token; with the clock paused it looks as often as it needs to.
async fn tells(held: &HeldToken) -> bool {
    tokio::time::timeout(std::time::Duration::from_secs(60), held.changed()).await.is_ok()
}

/// A file that can be written; what could not be is played by [`keep_in_memory`], for root may write everywhere.
struct TokenFile(tempfile::TempDir);

impl TokenFile {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("token"), text).unwrap();
        Self(folder)
    }

    /// What a zone holds that was just started.
    async fn held(&self) -> HeldToken {
        let held = of_file(&self.0.path().join("token"));
        held.read().await.unwrap();
        held
    }

    fn write(&self, text: &str) {
        fs::write(self.0.path().join("token"), text).unwrap();
    }
}

/// Keeps a token as if the file could not be written.
fn keep_in_memory(held: &HeldToken, before: &str, newer: &str) -> bool {
    held.lock().put(&held.source, &token(before), &token(newer)).is_some()
}

#[tokio::test(start_paused = true)]
async fn what_we_wrote_ourselves_is_no_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "one").unwrap();
    let held = of_file(&path);
    assert_eq!(read(&held).await, "one");
    assert_eq!(held.keep(&token("one"), &token("two")).await, Kept::InTheFile);
    assert!(!tells(&held).await);
    assert_eq!(held.keep(&token("two"), &token("three")).await, Kept::InTheFile);
    assert!(!tells(&held).await);
    assert_eq!((read(&held).await.as_str(), fs::read_to_string(&path).unwrap().as_str()), ("three", "three\n"));
    // The one before is no longer ours: somebody went back to it.
    fs::write(&path, "one").unwrap();
    assert!(tells(&held).await);
    assert_eq!(read(&held).await, "one");
    assert!(!tells(&held).await);
}

#[tokio::test(start_paused = true)]
async fn what_a_human_wrote_counts_more_than_what_was_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "one").unwrap();
    let held = of_file(&path);
    held.read().await.unwrap();
    // It was not seen yet when the answer of global came.
    fs::write(&path, "human").unwrap();
    assert_eq!(held.keep(&token("one"), &token("two")).await, Kept::Superseded);
    assert_eq!(fs::read_to_string(&path).unwrap(), "human");
    assert!(tells(&held).await);
    assert_eq!(read(&held).await, "human");
    // It was seen, and the connection with the one before still stands.
    assert_eq!(held.keep(&token("one"), &token("two")).await, Kept::Superseded);
    assert_eq!(read(&held).await, "human");
    assert!(!tells(&held).await);
}

#[tokio::test(start_paused = true)]
async fn a_token_in_memory_stands_for_the_one_in_the_file() {
    let file = TokenFile::new("one");
    let held = file.held().await;
    assert!(keep_in_memory(&held, "one", "two"));
    assert_eq!(read(&held).await, "two");
    assert!(!tells(&held).await);
    assert!(keep_in_memory(&held, "two", "three"));
    assert_eq!(read(&held).await, "three");
    assert!(!keep_in_memory(&held, "two", "four"), "that one is not in use");
    // Refused: the file may hold a good one; if not, it was a whim.
    held.refused();
    assert_eq!(read(&held).await, "one");
    held.refused();
    assert_eq!(read(&held).await, "three");
    // The file can be written again.
    assert_eq!(held.keep(&token("three"), &token("four")).await, Kept::InTheFile);
    assert_eq!(read(&held).await, "four");
    assert!(!tells(&held).await);
    // After a restart the file counts.
    assert_eq!(read(&file.held().await).await, "four");
    assert!(keep_in_memory(&held, "four", "five"));
    file.write("human");
    assert!(tells(&held).await);
    assert_eq!(read(&held).await, "human");
    file.write("four");
    assert_eq!(read(&held).await, "four", "what was kept in memory is forgotten");
}

#[tokio::test]
async fn an_inline_token_is_renewed_in_memory() {
    let held = HeldToken::new(TokenSource::Inline(token("one")), true);
    assert_eq!(read(&held).await, "one");
    assert_eq!(held.keep(&token("one"), &token("two")).await, Kept::InMemory);
    assert_eq!(held.keep(&token("two"), &token("three")).await, Kept::InMemory);
    assert_eq!(read(&held).await, "three");
    assert_eq!(held.renews(), Renews::NotTheFile);
}

#[tokio::test]
async fn a_zone_says_whether_it_renews() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "one").unwrap();
    let held = of_file(&path);
    held.look().await;
    assert_eq!(held.renews(), Renews::Yes);
    // Nobody can make a file beside this one.
    let held = of_file(Path::new("/proc/self/comm"));
    held.look().await;
    assert_eq!(held.renews(), Renews::NotTheFile);
    for (source, renew) in [(TokenSource::None, true), (TokenSource::File(path), false)] {
        let held = HeldToken::new(source, renew);
        assert_eq!((held.renews(), held.is_renewed()), (Renews::No, false));
    }
}

#[tokio::test]
async fn a_file_that_does_not_hold_the_token_any_more_is_told_until_it_is_in_use_again() {
    let path = |file: &TokenFile| file.0.path().join("token");
    for spoil in [
        |path: &Path| fs::write(path, "garbage").unwrap(),
        |path: &Path| fs::write(path, "").unwrap(),
        |path: &Path| fs::remove_file(path).unwrap(),
    ] {
        for is_seen in [false, true] {
            let file = TokenFile::new("one");
            let held = file.held().await;
            let mut news = held.subscribe_renews();
            assert_eq!(*news.borrow_and_update(), Renews::Yes);
            spoil(&path(&file));
            if is_seen {
                let _garbage_or_nothing = held.read().await;
            }
            let kept = held.keep(&token("one"), &token("two")).await;
            assert_ne!(kept, Kept::InTheFile);
            assert_eq!(held.renews(), Renews::NotTheFile);
            assert!(news.has_changed().unwrap(), "who asks hears it at once");
            // Somebody mends it, and the next connection stands on that.
            file.write("three");
            assert_eq!(read(&held).await, "three");
            held.look().await;
            assert_eq!((held.renews(), *news.borrow_and_update()), (Renews::Yes, Renews::Yes));
        }
    }
}

#[tokio::test]
async fn that_the_file_cannot_be_written_is_news_once() {
    let held = of_file(Path::new("/proc/self/comm"));
    let mut news = held.subscribe_renews();
    held.look().await;
    assert!(news.has_changed().unwrap());
    assert_eq!(*news.borrow_and_update(), Renews::NotTheFile);
    held.look().await;
    assert!(!news.has_changed().unwrap());
}

#[test]
fn the_end_of_a_token_is_warned_of_once() {
    let held = HeldToken::new(TokenSource::None, true);
    for text in ["a", "b"] {
        assert!(held.is_to_be_warned_of(&token(text)));
        held.warned_of(&token(text));
        assert!(!held.is_to_be_warned_of(&token(text)));
    }
}

#[tokio::test]
async fn what_the_file_said_before_is_no_change_to_who_read_it_just_then() {
    let file = TokenFile::new("one");
    let held = file.held().await;
    assert_eq!(held.keep(&token("one"), &token("two")).await, Kept::InTheFile);
    let knows = |text: &str| held.lock().knows(&token(text));
    assert!(knows("two") && knows("one") && !knows("zero"));
    assert_eq!(held.keep(&token("two"), &token("three")).await, Kept::InTheFile);
    assert!(!knows("one"), "somebody put it there");
}

/// A token that was issued so many seconds ago.
fn issued(seconds_ago: i64) -> String {
    crate::kds::zone::renewal::tests::Played::token(seconds_ago)
}

#[tokio::test(start_paused = true)]
async fn of_two_instances_the_next_one_begins_with_the_token_that_was_issued_last() {
    let store: Arc<dyn store::ResourceStore> = Arc::new(store::memory::MemoryStore::new());
    let clock = crate::kds::zone::renewal::tests::Played::clock();
    let instance = |file: &TokenFile| {
        let shared = Shared::new(Arc::clone(&store), clock.clone());
        of_file(&file.0.path().join("token")).shared(Some(shared))
    };
    let [old, middle, new] = [issued(30), issued(20), issued(10)];
    let (here, there) = (TokenFile::new(&old), TokenFile::new(&old));
    let leader = instance(&here);
    read(&leader).await;
    assert_eq!(leader.keep(&token(&old), &token(&middle)).await, Kept::InTheFile);
    let next = instance(&there);
    assert_eq!(read(&next).await, old, "it does not lead yet");
    next.take_over().await.unwrap();
    assert_eq!(read(&next).await, middle);
    next.refused();
    assert_eq!(read(&next).await, old, "that one is refused: what its own file says is tried, too");
    // What somebody wrote there later is better.
    there.write(&new);
    let next = instance(&there);
    next.take_over().await.unwrap();
    assert_eq!(read(&next).await, new);
    // And what is tried and good is for all.
    assert!(next.share(&token(&new)).await);
    leader.take_over().await.unwrap();
    assert_eq!(read(&leader).await, new);
}
