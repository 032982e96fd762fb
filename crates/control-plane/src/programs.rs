//! Runs the programs that settings name: bytes in, bytes out, within a time.
//!
//! No shell reads the arguments. Bytes are pumped by threads that end with the program, so that one that hangs, or floods, is
//! ended after a time, and whatever it started with it. What it says beside its output goes nowhere: it may say a secret.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// The most that a program prints, in bytes.
const MOST: u64 = 64 * 1024;

/// A program, its arguments, and how long it may take.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    words: Vec<String>,
    deadline: Duration,
}

impl Program {
    /// The program and its arguments, in one list.
    pub(crate) fn of(words: &[String], deadline: Duration) -> Self {
        Self { words: words.to_vec(), deadline }
    }

    /// Its name, without arguments: for people.
    pub(crate) fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// Runs it with these arguments behind its own and gives it its input; returns what it printed, or why that is worth
    /// nothing. Blocks.
    pub(crate) fn run(&self, arguments: &[&str], input: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
        let (program, own) = self.words.split_first().ok_or_else(|| "it names no program".to_owned())?;
        let mut child = Command::new(program)
            .args(own)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // What it starts can be ended with it.
            .process_group(0)
            .spawn()
            .map_err(|cause| format!("cannot start `{program}`: {cause}"))?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let end = || {
            if let Some(group) = group {
                let _ended_already = kill_process_group(group, Signal::KILL);
            }
        };
        // For its output and its end together: whoever waits for it reckons with one deadline.
        let until = Instant::now() + self.deadline;
        let left = || until.saturating_duration_since(Instant::now());
        let ended = self.talk(&mut child, input, left);
        if ended.is_err() {
            // Whatever it does, it does not go on.
            end();
        }
        let (waiter, waited) = mpsc::channel();
        thread::spawn(move || drop(waiter.send(child.wait())));
        let output = ended?;
        // One that closed its output may still not end.
        let Ok(waited) = waited.recv_timeout(left()) else {
            end();
            return Err(self.too_slow());
        };
        match waited {
            Ok(status) if status.success() => Ok(output),
            Ok(status) => Err(format!("it failed ({status})")),
            Err(cause) => Err(format!("it cannot be waited for: {cause}")),
        }
    }

    fn too_slow(&self) -> String {
        format!("it did not end within {} s", self.deadline.as_secs_f32())
    }

    /// Gives the child its input and takes its output until it closes it, while there is time left.
    fn talk(&self, child: &mut Child, input: &[u8], left: impl Fn() -> Duration) -> Result<Zeroizing<Vec<u8>>, String> {
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("it has no standard input or output".to_owned());
        };
        let input = Zeroizing::new(input.to_vec());
        let (answer, answered) = mpsc::channel();
        let read = move || -> io::Result<Zeroizing<Vec<u8>>> {
            let mut output = Zeroizing::new(Vec::with_capacity(4096));
            stdout.take(MOST + 1).read_to_end(&mut output)?;
            Ok(output)
        };
        // One that does not read its input ends all the same, and says by its status whether it needed it.
        thread::spawn(move || drop(stdin.write_all(&input)));
        thread::spawn(move || drop(answer.send(read())));
        match answered.recv_timeout(left()) {
            Ok(Ok(output)) if output.len() as u64 > MOST => Err(format!("it printed more than {MOST} bytes")),
            Ok(Ok(output)) => Ok(output),
            Ok(Err(cause)) => Err(format!("its output cannot be read: {cause}")),
            Err(_) => Err(self.too_slow()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A script; further arguments come behind as `$0`, `$1`, …
    fn script(text: &str, deadline: Duration) -> Program {
        Program::of(&["sh", "-c", text].map(str::to_owned), deadline)
    }

    fn run(text: &str, input: &[u8]) -> Result<Vec<u8>, String> {
        script(text, Duration::from_secs(30)).run(&["a b", "$(id)"], input).map(|output| output.to_vec())
    }

    #[test]
    fn a_program_gets_bytes_and_arguments_as_they_are() {
        assert_eq!(run("cat", b"\0\xff\n"), Ok(b"\0\xff\n".to_vec()));
        assert_eq!(run("printf '%s|%s' \"$0\" \"$1\"", b""), Ok(b"a b|$(id)".to_vec()));
        assert_eq!(run("echo secret >&2; printf out", b""), Ok(b"out".to_vec()), "errors go nowhere");
    }

    #[test]
    fn what_goes_wrong_is_said_without_what_it_printed() {
        assert_eq!(run("echo secret; exit 3", b""), Err("it failed (exit status: 3)".to_owned()));
        assert_eq!(run("cat /dev/zero", b""), Err(format!("it printed more than {MOST} bytes")));
        let nowhere = Program::of(&["/there/is/no/such/program".to_owned()], Duration::from_secs(30));
        assert!(nowhere.run(&[], b"").unwrap_err().contains("cannot start `/there/is/no/such/program`"));
        assert_eq!(Program::of(&[], Duration::from_secs(30)).run(&[], b""), Err("it names no program".to_owned()));
    }

    #[test]
    fn one_that_hangs_is_ended() {
        for text in ["exec sleep 1000", "echo out; exec sleep 1000 >&-"] {
            let refused = script(text, Duration::from_millis(50)).run(&[], b"").unwrap_err();
            assert!(refused.contains("did not end within 0.05 s"), "{text}: {refused}");
        }
    }

    #[test]
    fn what_a_program_started_is_ended_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert_eq!(run(&format!("mkfifo {}", pipe.display()), b""), Ok(Vec::new()));
        let (heard, hears) = mpsc::channel();
        let text = format!("exec 3> {}; sleep 1000 & exec cat /dev/zero", pipe.display());
        // Who reads from a pipe hears of the death of the last one who holds its other end.
        thread::spawn(move || drop(heard.send(std::fs::read(pipe))));
        assert!(run(&text, b"").unwrap_err().contains("printed more"));
        assert!(hears.recv_timeout(Duration::from_secs(30)).unwrap().unwrap().is_empty());
    }
}
