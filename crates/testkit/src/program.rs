//! Runs `kuma-cp` with its log captured line by line, as a program or inside the test, and `kumactl` with its output.

mod inside;
mod kept_ports;
mod log;
mod no_secret;

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

pub use self::inside::{Begin, Inside, Lines};
use self::{log::Log, no_secret::no_secret_in};
use crate::ports::ReservedPort;

/// Nothing that a test waits for takes longer.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A running control plane. Ends with the test.
pub struct ControlPlane {
    kind: Kind,
    settings: BTreeMap<String, String>,
    run: Run,
    log: Arc<Log>,
    /// What it logged before it was started again.
    earlier: String,
    /// The ports that it had and shall have again.
    reserved: Vec<ReservedPort>,
}

/// How it is started.
enum Kind {
    Program { exe: PathBuf, arguments: Vec<String> },
    Inside(Begin),
}

/// What runs.
enum Run {
    Process {
        child: Child,
        reader: Option<JoinHandle<()>>,
    },
    Inside(Box<dyn Inside>),
    /// It was told to end, inside the test.
    Ended,
}

impl Kind {
    fn start(&self, settings: &BTreeMap<String, String>) -> (Run, Arc<Log>) {
        let log = Arc::new(Log::default());
        let run = match self {
            Self::Program { exe, arguments } => spawn(exe, settings, arguments, &log),
            Self::Inside(begin) => Run::Inside(begin(settings, Lines::of(&log))),
        };
        (run, log)
    }
}

impl ControlPlane {
    /// Starts the program with nothing in its environment but `settings`. All ports are chosen by the system.
    pub fn start(exe: &str, settings: &[(&str, &str)], arguments: &[&str]) -> Self {
        let arguments = if arguments.is_empty() { &["run"] } else { arguments };
        let arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
        Self::of(Kind::Program { exe: exe.into(), arguments }, settings)
    }

    /// Starts a control plane in threads of this process, with the same settings: much cheaper, and all that only a
    /// process has (memory, signals, a crash, a command line) cannot be asked of it.
    pub fn inside(begin: Begin, settings: &[(&str, &str)]) -> Self {
        Self::of(Kind::Inside(begin), settings)
    }

    fn of(kind: Kind, settings: &[(&str, &str)]) -> Self {
        let mut all: BTreeMap<String, String> = [
            ("KUMA_ENVIRONMENT", "universal"),
            ("KUMA_API_SERVER_HTTP_PORT", "0"),
            ("KUMA_API_SERVER_HTTP_INTERFACE", "127.0.0.1"),
            ("KUMA_API_SERVER_HTTPS_PORT", "0"),
            ("KUMA_API_SERVER_HTTPS_INTERFACE", "127.0.0.1"),
            ("KUMA_DIAGNOSTICS_SERVER_PORT", "0"),
            ("KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT", "0"),
            ("KUMA_INTER_CP_SERVER_PORT", "0"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        all.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let (run, log) = kind.start(&all);
        Self { kind, settings: all, run, log, earlier: String::new(), reserved: Vec::new() }
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        match &self.run {
            Run::Process { child, .. } => child.id(),
            Run::Inside(_) | Run::Ended => panic!("{NO_PROCESS}"),
        }
    }

    /// The memory that the process has now, in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.kib("VmRSS:")
    }

    /// The most memory that the process ever had, in KiB.
    pub fn peak_kib(&self) -> u64 {
        self.kib("VmHWM:")
    }

    fn kib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("the process runs");
        let value = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
        value.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    }

    /// Changes a setting for the next start; an empty value removes it.
    pub fn set(&mut self, key: &str, value: &str) {
        if value.is_empty() {
            self.settings.remove(key);
        } else {
            self.settings.insert(key.to_owned(), value.to_owned());
        }
    }

    /// Ends the process as a crash would, and starts it again on the ports it had.
    pub fn crash_and_restart(&mut self) {
        self.keep_ports();
        self.kill();
        self.again();
    }

    /// Ends the process with SIGTERM and starts it again on the ports it had.
    pub fn restart(&mut self) {
        self.keep_ports();
        self.terminate();
        self.again();
    }

    /// Starts again after [`ControlPlane::terminate`] or [`ControlPlane::kill`].
    pub fn again(&mut self) {
        self.earlier.push_str(&self.text());
        (self.run, self.log) = self.kind.start(&self.settings);
    }

    /// Tells it to drain and stop, a program with SIGTERM, and waits for the end.
    pub fn terminate(&mut self) -> ExitStatus {
        let status = self.stop();
        self.reserve_ports();
        status
    }

    fn stop(&mut self) -> ExitStatus {
        match &mut self.run {
            Run::Process { child, .. } => {
                let killed = Command::new("kill").arg(child.id().to_string()).status().expect("run kill");
                assert!(killed.success(), "kill failed");
                ended_in_time(child, &self.log)
            }
            Run::Inside(inside) => {
                let success = inside.stop();
                self.run = Run::Ended;
                ExitStatus::from_raw(if success { 0 } else { 1 << 8 })
            }
            Run::Ended => panic!("it was stopped already"),
        }
    }

    /// Ends the process with SIGKILL.
    pub fn kill(&mut self) {
        let Run::Process { child, .. } = &mut self.run else { panic!("{NO_PROCESS}") };
        let _already_dead = child.kill();
        let _status = child.wait().expect("wait for the program");
        self.reserve_ports();
    }

    /// Stops the process where it stands, with SIGSTOP: its connections stay open, and nobody reads from them.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Has it go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.id().to_string()]).status().expect("run kill");
        assert!(sent.success(), "kill failed");
    }

    /// Waits until the process ended by itself; returns its status and its whole log.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let Run::Process { child, reader } = &mut self.run else { panic!("{NO_PROCESS}") };
        let status = ended_in_time(child, &self.log);
        if let Some(reader) = reader.take() {
            reader.join().expect("read the log");
        }
        (status, self.text())
    }

    /// Waits for a log line that holds all of `parts`, from the start of the log; returns it.
    pub fn line(&self, parts: &[&str]) -> String {
        self.line_after(0, parts)
    }

    /// How many lines were logged so far: a mark for [`ControlPlane::line_after`].
    pub fn mark(&self) -> usize {
        self.log.count()
    }

    /// Waits for a log line after `mark` that holds all of `parts`; returns it.
    pub fn line_after(&self, mark: usize, parts: &[&str]) -> String {
        self.line_within(LIMIT, mark, parts)
    }

    /// As [`ControlPlane::line_after`], for what has a reason to take longer than anything else; the caller says which.
    pub fn line_within(&self, limit: Duration, mark: usize, parts: &[&str]) -> String {
        self.log.wait_for(limit, mark, parts)
    }

    /// Whether a line after `mark` holds all of `parts` now.
    pub fn logged_after(&self, mark: usize, parts: &[&str]) -> bool {
        self.log.find(mark, parts).is_some()
    }

    /// The whole log so far.
    pub fn text(&self) -> String {
        self.log.text()
    }

    /// Waits until the program listens for `what` (http, https, kds, diagnostics); returns the address.
    pub fn address(&self, what: &str) -> SocketAddr {
        let line = self.line(&["listening", &format!("\"{what}\"")]);
        address_in(&line).unwrap_or_else(|| panic!("no address in {line}"))
    }

    fn listening(&self, what: &str) -> Option<SocketAddr> {
        address_in(&self.log.find(0, &["listening", &format!("\"{what}\"")])?)
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            no_secret_in(&self.earlier);
            no_secret_in(&self.text());
        }
        if let Run::Process { child, .. } = &mut self.run {
            let _already_dead = child.kill();
            let _status = child.wait();
        }
    }
}

const NO_PROCESS: &str = "this control plane runs inside the test: take a whole program";

fn ended_in_time(child: &mut Child, log: &Log) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("wait for the program") {
            return status;
        }
        assert!(start.elapsed() < LIMIT, "the program does not end:\n{}", log.text());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("\"address\": \"")?;
    rest.split_once('"')?.0.parse().ok()
}

fn spawn(exe: &Path, settings: &BTreeMap<String, String>, arguments: &[String], log: &Arc<Log>) -> Run {
    let mut child = Command::new(exe)
        .args(arguments)
        .env_clear()
        .envs(settings)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("start {}: {error}", exe.display()));
    let stderr = child.stderr.take().expect("stderr is piped");
    let filling = Arc::clone(log);
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines() {
            let Ok(line) = line else { break };
            filling.push(line);
        }
    });
    Run::Process { child, reader: Some(reader) }
}

/// Runs `kumactl` with a home of its own.
pub struct Kumactl {
    exe: PathBuf,
    home: PathBuf,
}

impl Kumactl {
    /// Returns a runner. `kuma_cp` is the path of the other program, beside which `kumactl` is built.
    pub fn beside(kuma_cp: &str, home: &Path) -> Self {
        let exe = Path::new(kuma_cp).with_file_name("kumactl");
        assert!(exe.is_file(), "{} is missing: build the whole workspace (cargo build --workspace)", exe.display());
        Self { exe, home: home.to_owned() }
    }

    /// Runs a command with an input; returns everything it said.
    pub fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(&self.exe)
            .args(arguments)
            .env_clear()
            .env("HOME", &self.home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start kumactl");
        let written = child.stdin.take().expect("stdin is piped").write_all(input.as_bytes());
        drop(written);
        child.wait_with_output().expect("wait for kumactl")
    }

    /// Runs a command that must succeed; returns its standard output.
    pub fn ok(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert!(
            output.status.success(),
            "kumactl {arguments:?} failed: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    }
}

/// Asks again until the answer satisfies; panics with the last answer after [`LIMIT`].
pub fn eventually<T: std::fmt::Debug>(what: &str, ask: impl FnMut() -> T, satisfied: impl Fn(&T) -> bool) -> T {
    eventually_within(LIMIT, what, ask, satisfied)
}

/// As [`eventually`], for what has a longer time limit of its own in the program; the caller says which.
pub fn eventually_within<T: std::fmt::Debug>(
    limit: Duration,
    what: &str,
    mut ask: impl FnMut() -> T,
    satisfied: impl Fn(&T) -> bool,
) -> T {
    let start = Instant::now();
    loop {
        let answer = ask();
        if satisfied(&answer) {
            return answer;
        }
        assert!(start.elapsed() < limit, "{what}: last answer was {answer:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
