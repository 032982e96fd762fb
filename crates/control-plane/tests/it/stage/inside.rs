//! A control plane in threads of this process: a runtime of its own, whose threads write to a log of its own.
#![expect(clippy::disallowed_types, reason = "the owner waits for the thread and its runtime")]

use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, Sender, channel},
    thread::{Builder, JoinHandle},
    time::Duration,
};

use control_plane::{
    app,
    clock::Clock,
    config::Config,
    observe::log::{Log, Verbosity},
};
use testkit::program::{Inside, Lines};

/// As long as a program gives its streams.
const GRACE: Duration = Duration::from_secs(5);

struct Running {
    /// Whom to tell the end; drops it when it shall end at once.
    stop: Option<Sender<Sender<bool>>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a control plane and returns when it serves.
pub(crate) fn begin(settings: &BTreeMap<String, String>, lines: Lines) -> Box<dyn Inside> {
    let settings: Vec<_> = settings.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let (stop, stopped) = channel();
    let (started, serves) = channel();
    let run = move || run(&settings, lines, &started, &stopped);
    let thread = Builder::new().name("control plane".to_owned()).spawn(run).unwrap();
    serves.recv().expect("the thread says how the start went").unwrap_or_else(|why| panic!("no start: {why}"));
    Box::new(Running { stop: Some(stop), thread: Some(thread) })
}

fn run(
    settings: &[(String, String)],
    lines: Lines,
    started: &Sender<Result<(), String>>,
    stopped: &Receiver<Sender<bool>>,
) {
    let (log, dispatch) = Log::of_threads(lines, Verbosity::Info);
    let of_workers = dispatch.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        // For as long as the thread lives.
        .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&of_workers)))
        .build()
        .unwrap();
    let _ours = tracing::dispatcher::set_default(&dispatch);
    let result =
        Config::from_sources(None, settings, "/nowhere").map_err(anyhow::Error::from).and_then(|(config, remarks)| {
            for remark in remarks {
                tracing::warn!(target: "kuma-cp.config", "{}", remark.0);
            }
            runtime.block_on(app::start(config, Clock::system(), log))
        });
    let running = match result {
        Ok(running) => running,
        Err(error) => return started.send(Err(format!("{error:#}"))).unwrap(),
    };
    started.send(Ok(())).unwrap();
    if let Ok(answer) = stopped.recv() {
        let (finished, failure) = runtime.block_on(running.stop(GRACE));
        drop(running);
        runtime.shutdown_timeout(GRACE);
        answer.send(finished && failure.is_none()).unwrap();
    } else {
        drop(running);
        runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

impl Inside for Running {
    fn stop(&mut self) -> bool {
        let (answer, answered) = channel();
        let stop = self.stop.take().expect("it is stopped once");
        stop.send(answer).expect("it runs");
        answered.recv().expect("it says how it ended")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _failure_was_told = thread.join();
        }
    }
}
