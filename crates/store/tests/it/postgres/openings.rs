//! Which databases are opened, and what is said of the others. None of them is changed.

use std::thread;

use store::{
    Missing, Options,
    postgres::{Identity, OpenError, Password, Settings, TlsMode},
};
use testkit::{
    ports::ClosedPort,
    postgres::{Database, database},
};

use super::{Opened as _, global, open, put, settings, zones};

/// Why the database is not opened.
fn refusal(settings: Settings) -> String {
    match open(settings) {
        Ok(_) => panic!("it was opened"),
        Err(problem) => {
            assert!(!problem.is_retryable(), "{problem}");
            problem.to_string()
        }
    }
}

fn of(database: &Database, identity: Identity) -> Settings {
    Settings { identity, ..settings(database.place()) }
}

#[test]
fn an_empty_database_is_set_up_once_however_many_start() {
    let Some(database) = database() else { return };
    let opened: Vec<_> = thread::scope(|scope| {
        let openings: Vec<_> = (0..4).map(|_| scope.spawn(|| database.open())).collect();
        openings.into_iter().map(|opening| opening.join().unwrap()).collect()
    });
    assert!(opened.iter().all(|store| store.identity() == opened[0].identity()));
    assert_eq!(database.ask("SELECT version FROM schema_version"), "2");
    assert_eq!(database.ask("SELECT count(*) FROM store_identity"), "1");
    assert_eq!(opened[0].identity().cluster, "c1");
}

#[test]
fn a_database_of_a_kuma_or_of_something_else_is_left_alone() {
    let Some(foreign) = database() else { return };
    foreign.execute("CREATE TABLE b (x int); CREATE TABLE a (x int);");
    let said = refusal(settings(foreign.place()));
    assert!(said.contains("tables of something else (`a`, `b`)"), "{said}");
    foreign
        .execute("DROP TABLE a; DROP TABLE b; CREATE TABLE resources (x int); CREATE TABLE schema_migrations (x int);");
    let said = refusal(settings(foreign.place()));
    assert!(said.contains("of a Kuma control plane") && said.contains("store.postgres.dbName"), "{said}");
    assert_eq!(foreign.ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "2");
}

#[tokio::test]
async fn a_database_of_another_mode_zone_or_cluster_is_refused_by_name() {
    let Some(database) = database() else { return };
    let zone = |zone: &str, cluster: Option<&str>| Identity {
        mode: "zone".to_owned(),
        zone: Some(zone.to_owned()),
        cluster: cluster.map(str::to_owned),
        ..global()
    };
    drop(open(of(&database, zone("west", None))).unwrap());
    for (other, words) in [
        (global(), "is that of zone `west` of cluster `c1`, and this is a global control plane"),
        (zone("east", None), "is that of zone `west` of cluster `c1`, and this is zone `east`"),
        (zone("west", Some("c2")), "is that of zone `west` of cluster `c1`, and this is zone `west` of cluster `c2`"),
    ] {
        let said = refusal(of(&database, other));
        assert!(said.contains(words), "{said}");
    }
    let again = open(of(&database, zone("west", Some("c1")))).unwrap();
    put(&again, "z").await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_unless_it_is_tolerated() {
    let Some(database) = database() else { return };
    put(&database.open(), "z").await.unwrap();
    database.execute("UPDATE schema_version SET version = 7");
    let said = refusal(settings(database.place()));
    assert!(said.contains("schema version 7") && said.contains("tolerateNewerDBVersions"), "{said}");
    let tolerant = Settings { tolerate_newer: true, ..settings(database.place()) };
    assert_eq!(zones(&open(tolerant).unwrap()).await, ["z="]);
    assert_eq!(database.ask("SELECT version FROM schema_version"), "7");
}

#[tokio::test]
async fn where_there_must_be_something_an_empty_database_is_refused() {
    let Some(database) = database() else { return };
    let options = Options { missing: Missing::Refuse, ..Options::default() };
    let used = || Settings { options, ..settings(database.place()) };
    assert!(refusal(used()).ends_with("is empty"));
    assert_eq!(database.ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
    drop(database.open());
    assert!(refusal(used()).ends_with("is empty"), "tables alone are nothing");
    put(&database.open(), "z").await.unwrap();
    assert_eq!(zones(&open(used()).unwrap()).await, ["z="]);
}

#[test]
fn a_wrong_password_is_refused_and_no_password_is_shown() {
    let Some(database) = database() else { return };
    let wrong = Settings { password: Password::new("hunter2".to_owned()), ..settings(database.place()) };
    let shown = format!("{wrong:?}");
    let problem = open(wrong).unwrap_err();
    let said = format!("{problem} {problem:?} {shown}");
    assert!(said.contains("password authentication failed"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    assert!(!problem.is_retryable());
}

#[test]
fn where_nobody_answers_waiting_may_help() {
    let Some(database) = database() else { return };
    let closed = ClosedPort::new();
    let port = closed.port();
    let problem = open(Settings { port, ..settings(database.place()) }).unwrap_err();
    assert!(problem.is_retryable() && problem.to_string().contains(&port.to_string()), "{problem}");
    // Without TLS on the server nobody goes on in plain text.
    let mut secure = settings(database.place());
    secure.tls.mode = TlsMode::VerifyNone;
    let problem = open(secure).unwrap_err();
    assert!(matches!(&problem, OpenError::Away { detail, .. } if detail.contains("TLS")), "{problem}");
}

#[tokio::test]
async fn rows_that_no_resource_can_be_are_told_with_their_names() {
    let Some(database) = database() else { return };
    put(&database.open(), "z").await.unwrap();
    database.execute("UPDATE resources SET created = 'yesterday'");
    let said = refusal(settings(database.place()));
    assert!(said.contains("name=\"z\"") && said.contains("column `created`"), "{said}");
    database.execute("UPDATE resources SET created = '1970-01-01T00:00:00Z', kind = 'FromTheFuture'");
    assert_eq!(zones(&database.open()).await, [""; 0]);
    assert_eq!(database.ask("SELECT count(*) FROM resources"), "1", "it is kept");
}
