//! A PostgreSQL that is started for tests, from what is installed.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{LIMIT, Place, VARIABLE};
use crate::ports::ReservedPort;

const INSTALLED: &str = "/usr/lib/postgresql";
const USER: &str = "kuma";
/// Odd enough to be found where it must not be.
const PASSWORD: &str = "pass-word-of-tests-5f2e";

/// A server of our own.
#[derive(Debug)]
pub struct Server {
    programs: PathBuf,
    folder: PathBuf,
    /// Whom it runs as, if we are root: it refuses to run as root.
    user: Option<String>,
    /// Nobody else gets its port, also while it is killed.
    port: ReservedPort,
    /// Settings of its own.
    options: Vec<String>,
    child: Option<Child>,
    /// Stops and removes what is left when its input ends: with this program.
    janitor: Child,
}

impl Server {
    /// Nothing that tests write outlives a crash of the machine.
    const QUICK: &[&str] = &["-c", "fsync=off", "-c", "full_page_writes=off"];

    /// Starts a server; none, and a line that says what to install, where there is no PostgreSQL.
    pub fn start() -> Option<Self> {
        Self::start_with(None, Self::QUICK)
    }

    /// Starts one that is durable: for measurements.
    pub fn durable() -> Option<Self> {
        Self::start_with(None, &[])
    }

    /// Starts one that offers TLS with this certificate and its key, in PEM.
    pub fn with_tls(certificate: &str, key: &str) -> Option<Self> {
        Self::start_with(Some((certificate, key)), Self::QUICK)
    }

    fn start_with(tls: Option<(&str, &str)>, options: &[&str]) -> Option<Self> {
        let Some(programs) = installed() else {
            eprintln!(
                "skipped: there is no PostgreSQL here; install it (Debian: `apt-get install postgresql`), or name one in {VARIABLE}"
            );
            return None;
        };
        let folder = new_folder();
        let user = is_root().then(|| if id(&["-u", "postgres"]).is_some() { "postgres" } else { "nobody" }.to_owned());
        if let Some(user) = &user {
            let number = |flag: &str| id(&[flag, user]).and_then(|text| text.parse().ok());
            chown(&folder, number("-u"), number("-g")).expect("give the folder away");
        }
        let janitor = janitor(&folder);
        let mut server =
            Self { programs, folder, user, port: ReservedPort::free(), options: Vec::new(), child: None, janitor };
        server.options.extend(options.iter().map(|option| (*option).to_owned()));
        server.make();
        if let Some((certificate, key)) = tls {
            server.options.extend(["-c".to_owned(), "ssl=on".to_owned()]);
            for (setting, content) in [("ssl_cert_file", certificate), ("ssl_key_file", key)] {
                let path = server.own_file(setting, content);
                server.options.extend(["-c".to_owned(), format!("{setting}={}", path.display())]);
            }
        }
        server.run();
        Some(server)
    }

    /// The database that is there from the beginning.
    pub fn place(&self) -> Place {
        Place {
            host: "127.0.0.1".to_owned(),
            port: self.port.port(),
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
            database: "postgres".to_owned(),
        }
    }

    /// Kills it as a crash does, with all that it was doing: nothing is answered any more when this returns.
    pub fn kill(&mut self) {
        // Its children notice only after a while that it is gone, and end what they have begun until then.
        let children = self.signal("-STOP");
        let mut child = self.child.take().expect("it runs");
        let _one_is_gone = Command::new("kill").arg("-KILL").args(&children).stderr(Stdio::null()).status();
        child.kill().expect("kill the server");
        child.wait().expect("its end");
        let started = Instant::now();
        while children.iter().any(|child| runs(child)) {
            assert!(started.elapsed() < LIMIT, "a process of the server does not end");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Stops it in the middle of what it does, with all its processes, until [`Server::resume`].
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on after [`Server::pause`].
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// Sends a signal to all its processes; returns those beside the first one.
    fn signal(&self, signal: &str) -> Vec<String> {
        let id = self.child.as_ref().expect("it runs").id();
        // The first one first: it makes no others then.
        let own = Command::new("kill").args([signal, &id.to_string()]).status().expect("run kill");
        assert!(own.success(), "kill failed");
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let children: Vec<String> = children.split_whitespace().map(str::to_owned).collect();
        // One may have ended meanwhile.
        let _one_is_gone = Command::new("kill").arg(signal).args(&children).stderr(Stdio::null()).status();
        children
    }

    /// Starts it again in the same place, after [`Server::kill`].
    pub fn run(&mut self) {
        for _attempt in 0..20 {
            let log = fs::File::options().create(true).append(true).open(self.folder.join("log")).expect("a log");
            let child = self
                .program("postgres")
                .arg("-D")
                .arg(self.data())
                .args(["-p", &self.port.port().to_string(), "-c", "listen_addresses=127.0.0.1", "-k", ""])
                .args(["-c", "max_connections=300", "-c", "shared_buffers=64MB", "-c", "log_min_messages=fatal"])
                .args(&self.options)
                .stdin(Stdio::null())
                .stdout(log.try_clone().expect("a log"))
                .stderr(log)
                .spawn()
                .expect("start postgres");
            if self.comes_up(child) {
                return;
            }
        }
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        panic!("PostgreSQL does not start:\n{log}");
    }

    /// Whether it takes connections in time. One that ends at once may be in the way of a crash that is not cleaned up yet.
    fn comes_up(&mut self, mut child: Child) -> bool {
        let started = Instant::now();
        while started.elapsed() < LIMIT {
            if self.place().try_run(async |client| client.batch_execute("SELECT 1").await).is_ok() {
                self.child = Some(child);
                return true;
            }
            if child.try_wait().expect("look at the server").is_some() {
                thread::sleep(Duration::from_millis(200));
                return false;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _gone = child.kill();
        false
    }

    /// Writes a file that nobody else reads.
    fn own_file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, content).expect("write a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a file of its own");
        if let Some(user) = &self.user {
            let number = |flag: &str| id(&[flag, user]).and_then(|text| text.parse().ok());
            chown(&path, number("-u"), number("-g")).expect("give the file away");
        }
        path
    }

    fn make(&self) {
        let password = self.folder.join("password");
        fs::write(&password, PASSWORD).expect("write the password");
        let made = self
            .program("initdb")
            .arg("-D")
            .arg(self.data())
            .args(["-U", USER, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .arg(format!("--pwfile={}", password.display()))
            .output()
            .expect("run initdb");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn program(&self, name: &str) -> Command {
        let path = self.programs.join(name);
        let mut command = match &self.user {
            None => Command::new(path),
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.args([&format!("--reuid={user}"), "--clear-groups"]).arg(path);
                command
            }
        };
        command.current_dir(&self.folder);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        let _cleaned = self.janitor.wait();
        if let Some(mut child) = self.child.take() {
            let _reaped = child.wait();
        }
    }
}

/// Starts what cleans up after the server of a folder. It hears of no signal that ends the tests.
fn janitor(folder: &Path) -> Child {
    const CLEAN: &str = r#"
        trap '' INT TERM HUP
        cat > /dev/null
        if read -r pid < "$1/data/postmaster.pid"; then
            kill -CONT "$pid"
            kill -QUIT "$pid"
            tries=0
            while kill -0 "$pid" && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
            kill -KILL "$pid"
        fi
        rm -rf "$1"
    "#;
    Command::new("sh")
        .args(["-c", CLEAN, "janitor"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start a shell")
}

/// Whether a process is there and is not dead already; one that is nobody's child may stay in the list of processes as such.
fn runs(process: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // Behind the name, which may be anything.
    status.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The folder of the newest programs that are installed.
fn installed() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(INSTALLED)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, programs)| programs.join("initdb").exists())
        .collect();
    versions.sort();
    let on_the_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
    };
    versions.pop().map(|(_, programs)| programs).or_else(on_the_path)
}

fn new_folder() -> PathBuf {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("arctos-postgres-{}-{number}", std::process::id()));
    // Of a program of the same number that had no time to clean up.
    let _not_there = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder for the server");
    folder
}

fn is_root() -> bool {
    id(&["-u"]).as_deref() == Some("0")
}

fn id(arguments: &[&str]) -> Option<String> {
    let output = Command::new("id").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
