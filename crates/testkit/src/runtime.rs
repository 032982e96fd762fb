//! Runtimes for tests that play a peer.

use tokio::runtime::Builder;

/// Runs a test on this thread alone: its streams rest while it blocks.
pub fn run(test: impl Future<Output = ()>) {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// Runs a test that asks over REST while its streams stand: the streams run in threads of their own.
pub fn run_in_threads(test: impl Future<Output = ()>) {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(test);
}
