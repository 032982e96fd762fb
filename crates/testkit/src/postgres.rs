//! A PostgreSQL for tests: one server for a test program, a database for each test.
//!
//! It is the one that `ARCTOS_TEST_POSTGRES` names (`postgres://user:password@host:port/database`, of a role that may
//! create databases), or one that is started here from what is installed: in a temporary folder, on a free port, as an
//! ordinary user. A child of its own stops it and removes its folder when the test program is gone, however that ends.

mod server;

use std::{
    fmt,
    str::FromStr as _,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::runtime::Builder;
use tokio_postgres::{Client, Config, NoTls, config::Host};

pub use self::server::Server;

/// Names the server that all tests use.
pub const VARIABLE: &str = "ARCTOS_TEST_POSTGRES";
/// Starting may take a while where much else runs.
const LIMIT: Duration = Duration::from_secs(60);

/// What seals the secrets of control planes that work with a database of tests, in base64.
pub const SEALING_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Where a database is.
#[derive(Clone)]
pub struct Place {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The database.
    pub database: String,
}

/// A database of one test, dropped with it.
#[derive(Debug)]
pub struct Database {
    place: Place,
    /// The database that it was made from.
    base: Place,
}

/// Returns an empty database on the server that all tests of this program share; none where there is no PostgreSQL, which
/// is said.
pub fn database() -> Option<Database> {
    static SHARED: OnceLock<Option<(Place, Option<Server>)>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| match given() {
        Some(place) => Some((place, None)),
        None => Server::start().map(|server| (server.place(), Some(server))),
    });
    Some(Database::on(&shared.as_ref()?.0))
}

/// The server that the caller of the tests names.
fn given() -> Option<Place> {
    let text = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty())?;
    let config = Config::from_str(&text).unwrap_or_else(|error| panic!("{VARIABLE}: {error}"));
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(folder)) => folder.display().to_string(),
        None => "127.0.0.1".to_owned(),
    };
    Some(Place {
        host,
        port: config.get_ports().first().copied().unwrap_or(5432),
        user: config.get_user().unwrap_or("postgres").to_owned(),
        password: config.get_password().map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default(),
        database: config.get_dbname().unwrap_or("postgres").to_owned(),
    })
}

impl Database {
    /// Makes an empty database on a server.
    pub fn on(base: &Place) -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("arctos_test_{}_{number}", std::process::id());
        base.execute(&format!("CREATE DATABASE {name}"));
        Self { place: Place { database: name, ..base.clone() }, base: base.clone() }
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Runs SQL in it.
    pub fn execute(&self, sql: &str) {
        self.place.execute(sql);
    }

    /// Returns the first column of the first row, as text.
    pub fn ask(&self, sql: &str) -> String {
        self.place.ask(sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The server may be one that a test stopped.
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.place.database);
        let _server_is_gone = self.base.try_run(async |client| client.batch_execute(&sql).await);
    }
}

impl fmt::Debug for Place {
    /// Without the password: what tests print is kept.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}:{}", self.database, self.host, self.port)
    }
}

impl Place {
    /// Everything in one text.
    pub fn url(&self) -> String {
        let Self { host, port, user, password, database } = self;
        format!("postgres://{user}:{password}@{host}:{port}/{database}")
    }

    /// The settings of a control plane that keeps its resources there.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("KUMA_STORE_TYPE", "postgres".to_owned()),
            ("KUMA_STORE_SEALING_KEY", SEALING_KEY.to_owned()),
            ("KUMA_STORE_POSTGRES_HOST", self.host.clone()),
            ("KUMA_STORE_POSTGRES_PORT", self.port.to_string()),
            ("KUMA_STORE_POSTGRES_USER", self.user.clone()),
            ("KUMA_STORE_POSTGRES_PASSWORD", self.password.clone()),
            ("KUMA_STORE_POSTGRES_DB_NAME", self.database.clone()),
        ]
    }

    /// Runs SQL there.
    pub fn execute(&self, sql: &str) {
        self.run(async |client| {
            client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        });
    }

    /// Returns the first column of the first row, as text; nothing if there is no row.
    pub fn ask(&self, sql: &str) -> String {
        self.run(async |client| {
            let rows = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
            let first = rows.iter().find_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            });
            first.unwrap_or_default()
        })
    }

    fn run<T: Send>(&self, work: impl AsyncFnOnce(&Client) -> T + Send) -> T {
        self.try_run(async |client| Ok(work(client).await)).unwrap_or_else(|error| panic!("{self:?}: {error:?}"))
    }

    /// Works with a connection of its own, in a thread of its own: callers may be in a runtime.
    fn try_run<T: Send>(
        &self,
        work: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error> + Send,
    ) -> Result<T, tokio_postgres::Error> {
        let mut config = Config::new();
        config.host(&self.host).port(self.port).user(&self.user).password(&self.password).dbname(&self.database);
        config.connect_timeout(LIMIT);
        let work = || {
            Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                let (client, connection) = config.connect(NoTls).await?;
                let driven = tokio::spawn(connection);
                let done = work(&client).await;
                drop(client);
                let _ended = driven.await;
                done
            })
        };
        thread::scope(|scope| scope.spawn(work).join().unwrap())
    }
}
