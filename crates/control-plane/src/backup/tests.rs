use std::sync::Arc;

use model::Labels;
use store::sealing::SealingKey;

use super::*;

const SECRET: &str = "never to be seen in a file";

fn resource(key: Key, spec: &str, owner: Option<Key>) -> Resource {
    Resource {
        key,
        labels: Labels::from([("a".to_owned(), "b\0\n\"".to_owned())]),
        spec: spec.as_bytes().to_vec().into(),
        status: Some(b"\0status"[..].into()),
        owner,
        created: "2026-11-28T12:00:00.123456789Z".parse().unwrap(),
        modified: Timestamp::UNIX_EPOCH,
    }
}

fn content() -> Content {
    let mesh = Key::global(Kind::MESH, "m");
    let secret = Key::in_mesh(Kind::SECRET, "m", "s");
    Content {
        // the owner comes last, as it may in a store
        resources: vec![
            resource(Key::in_mesh(Kind::DATAPLANE, "m", "d"), "plain", Some(secret.clone())),
            resource(secret, SECRET, Some(mesh.clone())),
            resource(Key::global(Kind::RECORD, "rotation.x"), SECRET, None),
            resource(mesh, "", None),
        ],
        files: vec![FileBeside { name: "kuma-cp.key".to_owned(), content: Zeroizing::new(SECRET.as_bytes().to_vec()) }],
    }
}

fn sealing(key: &SealingKey) -> Sealing {
    let again: SealingKey = key.text().reveal().parse().unwrap();
    Sealing::by(Arc::new(again), |key| key.kind.is_secret())
}

fn written(key: &SealingKey) -> Vec<u8> {
    let sealing = sealing(key);
    let data_key = sealing.new_data_key().unwrap();
    sealing.take_in(std::slice::from_ref(&data_key)).unwrap();
    let whose = Whose { created: Timestamp::UNIX_EPOCH, mode: "global", zone: None };
    let mut file = Vec::new();
    write(whose, &content(), &sealing, Some(&data_key), &mut file).unwrap();
    file
}

fn opened(file: &[u8], key: &SealingKey) -> Result<Content, BackupError> {
    let unopened = Unopened::read(file)?;
    let sealing = sealing(key);
    sealing.take_in(&[unopened.about.data_key().unwrap()]).unwrap();
    unopened.open(&sealing)
}

#[test]
fn everything_comes_back_owners_first_and_no_secret_is_in_the_file() {
    let key = SealingKey::generate().unwrap();
    let file = written(&key);
    let text = String::from_utf8(file.clone()).unwrap();
    let in_base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, SECRET);
    assert!(!text.contains(SECRET) && !text.contains(&in_base64), "{text}");
    assert!(!text.contains(key.text().reveal().trim()));
    let about = Unopened::read(&file).unwrap().about;
    assert_eq!(about.data_key().unwrap().sealed_by, key.fingerprint().to_string());
    assert_eq!((about.kinds.len(), about.files), (4, vec!["kuma-cp.key".to_owned()]));
    let back = opened(&file, &key).unwrap();
    let order: Vec<_> = back.resources.iter().map(|resource| resource.key.kind.name).collect();
    assert_eq!(order, ["Record", "Mesh", "Secret", "Dataplane"]);
    let sorted = |content: Content| {
        let mut resources = content.resources;
        resources.sort_by(|a, b| a.key.cmp(&b.key));
        resources
    };
    assert_eq!(*back.files[0].content, SECRET.as_bytes());
    assert_eq!(sorted(back), sorted(content()));
}

#[test]
fn a_file_that_is_cut_off_changed_or_longer_is_refused() {
    let key = SealingKey::generate().unwrap();
    let file = written(&key);
    for length in 0..file.len() {
        assert!(Unopened::read(&file[..length]).is_err(), "cut off at {length}");
    }
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(opened(&changed, &key).is_err(), "byte {at}");
    }
    assert!(Unopened::read(&[&file[..], b"{}\n"].concat()).is_err());
    assert!(matches!(Unopened::read(b"SQLite format 3\0"), Err(BackupError::Foreign)));
    let newer = String::from_utf8(file).unwrap().replacen("\"version\":1", "\"version\":2", 1);
    assert!(matches!(Unopened::read(newer.as_bytes()), Err(BackupError::NewerFormat { found: 2 })));
}

/// A key of an attacker could come in with a line of his: sums are easily made anew.
#[test]
fn who_does_not_have_the_key_makes_no_backup() {
    let key = SealingKey::generate().unwrap();
    let text = String::from_utf8(written(&key)).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    let trailer = lines.pop().unwrap();
    lines.remove(1);
    let body = format!("{}\n", lines.join("\n"));
    let mut trailer: serde_json::Value = serde_json::from_str(trailer).unwrap();
    trailer["sha256"] = lines::hex(&Sha256::digest(body.as_bytes())).into();
    let forged = format!("{body}{trailer}\n");
    assert!(Unopened::read(forged.as_bytes()).is_ok(), "the sum is right");
    assert!(matches!(opened(forged.as_bytes(), &key), Err(BackupError::Forged)));
    trailer.as_object_mut().unwrap().remove("seal");
    assert!(matches!(opened(format!("{body}{trailer}\n").as_bytes(), &key), Err(BackupError::Forged)));
}

#[test]
fn a_kind_of_a_newer_program_is_not_left_out() {
    let mut file = Vec::new();
    let whose = || Whose { created: Timestamp::UNIX_EPOCH, mode: "zone", zone: Some("west".to_owned()) };
    write(whose(), &content(), &Sealing::off(), None, &mut file).unwrap();
    let text = String::from_utf8(file).unwrap();
    let body = text.lines().filter(|line| !line.contains("sha256")).fold(String::new(), |all, line| all + line + "\n");
    let body = body.replace("\"kind\":\"Dataplane\"", "\"kind\":\"Tomorrow\"");
    let sum = lines::hex(&Sha256::digest(body.as_bytes()));
    let file = format!("{body}{{\"sha256\":\"{sum}\"}}\n");
    let refused = Unopened::read(file.as_bytes()).unwrap();
    let refused = refused.open(&Sealing::off()).err().unwrap().to_string();
    assert!(refused.contains("line 2: kind `Tomorrow`"), "{refused}");
}
