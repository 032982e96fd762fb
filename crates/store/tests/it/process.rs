//! This test program run again as another process, for what one process cannot show.
//!
//! A test starts a [`Child`] with the name of a task and a store file. The child runs the one test below, which does
//! the task when it finds it in its environment. The two talk in lines.

use std::{
    env,
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use crate::{crash, disk, file};

const TASK: &str = "STORE_TEST_TASK";
const FILE: &str = "STORE_TEST_FILE";
/// Starts the lines that are not the test harness's.
const MARK: &str = "child says: ";
/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(30);

/// What a child may be asked to do.
#[test]
fn the_task_of_a_child_is_done() {
    let Some(task) = env::var_os(TASK) else { return };
    let file = PathBuf::from(env::var_os(FILE).unwrap());
    match task.to_str().unwrap() {
        "write until killed" => crash::write_until_killed(&file),
        "open" => file::open_and_say(&file),
        "fill" => disk::fill(&file),
        other => panic!("unknown task {other}"),
    }
}

/// Says a line to the parent. Fails when the parent is gone, which ends the child.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{MARK}{line}").and_then(|()| out.flush()).unwrap();
}

/// Waits for a line of the parent.
pub(crate) fn hear() -> String {
    let mut line = String::new();
    assert!(std::io::stdin().read_line(&mut line).unwrap() > 0, "the parent is gone");
    line.trim().to_owned()
}

/// Another process. Killed when dropped.
pub(crate) struct Child {
    process: process::Child,
    lines: Receiver<String>,
}

impl Child {
    pub(crate) fn start(task: &str, file: &Path) -> Self {
        Self::start_by(Command::new(env::current_exe().unwrap()), task, file)
    }

    /// Starts a child by a command that takes the rest of its command line to the child.
    pub(crate) fn start_by(mut command: Command, task: &str, file: &Path) -> Self {
        let mut process = command
            .args(["process::the_task_of_a_child_is_done", "--exact", "--nocapture"])
            .env(TASK, task)
            .env(FILE, file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let Some((_, line)) = line.split_once(MARK) else { continue };
                if sender.send(line.to_owned()).is_err() {
                    break;
                }
            }
        });
        Self { process, lines }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for the next line.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(LIMIT).expect("the child said nothing in time")
    }

    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.process.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Ends the process with SIGKILL, and returns the lines that it had said and nobody took.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let mut rest = Vec::new();
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => rest.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => return rest,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the output of the child has no end"),
            }
        }
    }

    /// Waits until the process ended by itself, well.
    pub(crate) fn finish(mut self) {
        // it ends its output when it ends
        while self.lines.recv_timeout(LIMIT).is_ok() {}
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // already ended in most tests
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
