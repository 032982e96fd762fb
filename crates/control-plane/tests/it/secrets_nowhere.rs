//! Secrets of each kind, and where not a byte of them may be: files, logs of databases, backups, tables, log lines, and
//! what REST and kumactl tell to everybody but administrators.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use control_plane::writes::Side;
use model::{Key, Kind, Labels, proto};
use serde_json::{Value, json};
use testkit::{
    client,
    postgres::{Database, database},
    program::ControlPlane,
};

use crate::stage::{
    postgres_global, rest_world,
    world::{KUMA_CP, World, text, wait_for},
};

const PLANTED: &str = "planted, and never to be seen elsewhere";
/// What there must be of each kind; a global has others besides.
const KINDS: [&str; 6] = [
    "user-token-signing-key-",
    "zone-token-signing-key-",
    "control-plane-signing-key-",
    "dataplane-token-signing-key-default-",
    "mesh-planted",
    "global-planted",
];

/// The forms in which a secret could be seen, by its name.
struct Secrets(BTreeMap<String, Vec<Vec<u8>>>);

impl Secrets {
    /// Reads all secrets that lists tell to an administrator.
    fn of(lists: &[Value], kinds: &[&str]) -> Self {
        let mut secrets = BTreeMap::new();
        for item in lists.iter().flat_map(|list| list["items"].as_array().expect("items")) {
            let (name, data) = (item["name"].as_str().expect("a name"), item["data"].as_str().unwrap_or_default());
            // What is public is in a key, too, and shorter than this nothing is looked for.
            if !name.contains("public") && data.len() >= 16 {
                secrets.insert(name.to_owned(), forms(data));
            }
        }
        for kind in kinds {
            assert!(secrets.keys().any(|name: &String| name.starts_with(kind)), "no {kind} in {:?}", secrets.keys());
        }
        Self(secrets)
    }

    /// Adds one that REST tells nobody.
    fn with(mut self, name: &str, data: &[u8]) -> Self {
        self.0.insert(name.to_owned(), forms(&STANDARD.encode(data)));
        self
    }

    /// Panics if any of them is in there.
    fn check(&self, place: &str, content: &[u8]) {
        for (name, forms) in &self.0 {
            let seen = forms.iter().any(|form| content.windows(form.len()).any(|window| window == form));
            assert!(!seen, "{place} holds the secret `{name}`");
        }
    }
}

/// A secret as the API shows it, as bytes, and the middle of a key in PEM: what is public stands in its first part, and a
/// certificate may stand beside it.
fn forms(data: &str) -> Vec<Vec<u8>> {
    let bytes = STANDARD.decode(data).expect("base64");
    let key = |text: &'_ str| Some(text.split_once("PRIVATE KEY-----")?.1.split_once("-----END")?.0.to_owned());
    let inner = std::str::from_utf8(&bytes).ok().and_then(key);
    let line =
        inner.as_ref().and_then(|text| text.lines().nth(text.lines().count() / 2)).map(|line| line.as_bytes().to_vec());
    let binary = line.as_ref().and_then(|line| STANDARD.decode(line).ok());
    let mut forms = vec![data.trim_end_matches('=').as_bytes().to_vec(), bytes];
    forms.extend(line);
    forms.extend(binary);
    forms.retain(|form| form.len() >= 12);
    forms
}

fn plant(http: SocketAddr) {
    let data = |of: &str| STANDARD.encode(format!("{PLANTED}: {of}"));
    let put = |path: &str, body: Value| {
        let (status, text) = client::ask(http, "PUT", path, Some(&body));
        assert_eq!(status, 201, "{text}");
    };
    let global = json!({"type": "GlobalSecret", "name": "global-planted", "data": data("global")});
    put("/global-secrets/global-planted", global);
    let of_mesh = json!({"type": "Secret", "mesh": "default", "name": "mesh-planted", "data": data("mesh")});
    put("/meshes/default/secrets/mesh-planted", of_mesh);
}

fn all_secrets(http: SocketAddr) -> Secrets {
    let paths = ["/global-secrets?size=1000", "/meshes/default/secrets?size=1000"];
    Secrets::of(&paths.map(|path| client::get(http, path)), &KINDS)
}

/// Every file below a folder but the two keys that are files.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !["kuma-cp.key", "store.key"].iter().any(|name| path.ends_with(name)) {
            found.push(path);
        }
    }
    found
}

fn kuma_cp(settings: &[(&str, &str)], arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(KUMA_CP).env_clear().envs(settings.iter().copied()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    [output.stdout, output.stderr].concat()
}

#[test]
fn no_file_backup_or_log_line_of_global_and_zone_holds_a_secret() {
    let world = World::of_programs(&[]);
    let zone = world.connected_zone("west");
    plant(world.http());
    wait_for(zone.address("http"), "/meshes/default/secrets/mesh-planted");
    let work = text(&world.path("global"));
    let store_key = fs::read(world.path("global/store.key")).unwrap();
    let secrets = all_secrets(world.http()).with("store.key", &STANDARD.decode(store_key.trim_ascii()).unwrap());
    fs::create_dir(world.path("backups")).unwrap();
    let settings = [("KUMA_MODE", "global"), ("KUMA_GENERAL_WORK_DIR", work.as_str())];
    let backup = text(&world.path("backups/one"));
    secrets.check("what `store backup` says", &kuma_cp(&settings, &["store", "backup", "--to", &backup]));
    let from = ["store", "restore", "--from", &backup, "--dry-run"];
    secrets.check("what a dry run says", &kuma_cp(&settings, &from));
    let all = ["global", "west", "backups"].map(|name| files(&world.path(name))).concat();
    assert!(all.iter().any(|file| file.to_string_lossy().ends_with("global.db-wal")), "{all:?}");
    for file in all {
        secrets.check(&file.display().to_string(), &fs::read(&file).unwrap());
    }
    secrets.check("the log of the global", world.global.text().as_bytes());
    secrets.check("the log of the zone", zone.text().as_bytes());
}

#[test]
fn no_table_of_a_database_and_no_line_of_its_global_holds_a_secret() {
    let Some(database) = database() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = postgres_global::settings(database.place(), folder.path());
    let settings = postgres_global::borrowed(&settings);
    let global = ControlPlane::start(KUMA_CP, &settings, &["run", "--log-level", "debug"]);
    plant(global.address("http"));
    let key = STANDARD.decode(testkit::postgres::SEALING_KEY).unwrap();
    let secrets = all_secrets(global.address("http")).with("the key of the store", &key);
    let tables = database.ask("SELECT string_agg(tablename, ' ') FROM pg_tables WHERE schemaname = 'public'");
    for table in ["resources", "changes", "data_keys"] {
        assert!(tables.split(' ').any(|found| found == table), "{tables}");
    }
    for table in tables.split(' ') {
        check_table(&database, table, &secrets);
    }
    let backup = text(&folder.path().join("backup"));
    kuma_cp(&settings, &["store", "backup", "--to", &backup]);
    for file in files(folder.path()) {
        secrets.check(&file.display().to_string(), &fs::read(&file).unwrap());
    }
    secrets.check("the log of the global", global.text().as_bytes());
}

/// Looks for secrets in all columns of a table: bytes are shown there as hexadecimal digits.
fn check_table(database: &Database, table: &str, secrets: &Secrets) {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for (name, forms) in &secrets.0 {
        for form in forms {
            let digits = hex(form);
            let bytes = format!("convert_from('\\x{digits}'::bytea, 'LATIN1')");
            let seen = format!(
                "SELECT count(*) FROM (SELECT t::text AS shown FROM {table} t) rows \
                 WHERE position('{digits}' IN shown) > 0 OR position({bytes} IN shown) > 0"
            );
            // A text holds no NUL, so one that does is in no text.
            let seen =
                if form.contains(&0) { seen.replace(&format!(" OR position({bytes} IN shown) > 0"), "") } else { seen };
            assert_eq!(database.ask(&seen), "0", "table {table} holds the secret `{name}`");
        }
    }
}

#[test]
fn what_kumactl_prints_for_whoever_is_no_administrator_holds_no_secret() {
    let mut world = World::new(&[]);
    plant(world.http());
    let secrets = all_secrets(world.http());
    world.global.keep_ports();
    world.global.set("KUMA_API_SERVER_AUTHN_LOCALHOST_IS_ADMIN", "false");
    world.global.restart();
    let list = ["get", "global-secrets", "-o", "json"];
    let refused = world.kumactl.run(&list, "");
    assert!(!refused.status.success(), "{}", String::from_utf8_lossy(&refused.stdout));
    for profile in ["all", "federation-with-policies"] {
        // It stops where the secrets begin, with what it printed until then.
        let export = ["export", "--profile", profile, "--include-admin"];
        let stopped = world.kumactl.run(&export, "");
        assert!(!stopped.status.success());
        secrets.check("an export that was stopped", &[stopped.stdout, stopped.stderr, refused.stderr.clone()].concat());
    }
}

/// Asks a control plane inside the test.
async fn ask(
    world: &rest_world::World,
    remote: bool,
    (method, path): (&str, &str),
    token: Option<&str>,
    body: Option<&str>,
) -> rest_world::Answer {
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    headers.extend(token.map(|token| ("authorization".to_owned(), format!("Bearer {token}"))));
    let host = if remote { "10.9.9.1:5681" } else { "127.0.0.1:5681" };
    world.ask(host, rest_world::Ask { remote, method, path, headers, body: body.map(str::to_owned) }).await
}

#[tokio::test(start_paused = true)]
async fn no_route_tells_a_secret_to_whoever_is_no_administrator() {
    for side in [Side::Global, Side::FederatedZone("east".to_owned()), Side::LoneZone("east".to_owned())] {
        let is_global = side == Side::Global;
        let world = rest_world::World::start(side, "").await;
        let planted = |of: &str| {
            let document = json!({"data": STANDARD.encode(format!("{PLANTED}: {of}"))});
            proto::spec_from_json(Kind::SECRET, document.as_object().expect("an object")).expect("a secret")
        };
        if world.all(Kind::MESH).await.is_empty() {
            world.put(Key::global(Kind::MESH, "default"), Labels::new(), Bytes::new(), None).await;
        }
        let of_mesh = Key::in_mesh(Kind::SECRET, "default", "mesh-planted");
        world.put(of_mesh, Labels::new(), planted("mesh"), None).await;
        world.put(Key::global(Kind::GLOBAL_SECRET, "global-planted"), Labels::new(), planted("global"), None).await;
        let mut lists = Vec::new();
        for path in ["/global-secrets?size=1000", "/meshes/default/secrets?size=1000"] {
            let answer = ask(&world, false, ("GET", path), None, None).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            lists.push(serde_json::from_str::<Value>(&answer.body).expect("a list"));
        }
        let kinds = if is_global { &KINDS[..] } else { &["mesh-planted", "global-planted"] };
        let secrets = Secrets::of(&lists, kinds);
        let john = r#"{"name":"john","groups":["dev"],"validFor":"1h"}"#;
        let john = ask(&world, false, ("POST", "/tokens/user"), None, Some(john)).await;
        let john = (john.status == 200).then_some(john.body);
        let names: Vec<&str> = secrets.0.keys().map(String::as_str).chain(["default", "east"]).collect();
        let mut asked = 0;
        for (method, template) in world.routes() {
            if method == "DELETE" {
                continue;
            }
            let names = if template.contains("{name}") { &names[..] } else { &[""] };
            for name in names {
                let path = template
                    .replace("{mesh}", "default")
                    .replace("{name}", name)
                    .replace("{kri}", &format!("kri_sec_default___{name}_"))
                    .replace("{route}", "kri_m____default_")
                    .replace("{plural}", "secrets")
                    .replace("{operation}", "stats");
                let body = matches!(method.as_str(), "PUT" | "POST").then_some("{}");
                for token in [None, john.as_deref()] {
                    let answer = ask(&world, true, (method.as_str(), &path), token, body).await;
                    secrets.check(&format!("{method} {path}"), answer.body.as_bytes());
                    asked += 1;
                }
            }
        }
        assert!(asked > 1000, "{asked}");
    }
}
