use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use jiff::Timestamp;
use model::ZoneName;
use tokens::{
    Accept, Algorithm, KeyRing, PemSigner, Scope, Signer, SigningKey, Token, Want, generate_key, public_half,
};
use uuid::Uuid;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn settings(by: SignedBy, public: Option<String>) -> SignerSettings {
    SignerSettings { family: Family::Zone, kid: None, by, public: public.map(String::into_bytes) }
}

fn in_file(folder: &Path, key: &SigningKey) -> (SignerSettings, PathBuf) {
    let file = folder.join("key.pem");
    put(&file, key.reveal());
    (settings(SignedBy::File(file.clone()), None), file)
}

/// Replaces a file as a whole.
fn put(file: &Path, content: &[u8]) {
    let new = file.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, file).unwrap();
}

fn words(text: &str) -> Vec<String> {
    ["sh", "-c", text].map(str::to_owned).to_vec()
}

/// A command that a script is, and the public half of a key.
fn script(text: &str, key: &SigningKey) -> SignerSettings {
    settings(SignedBy::Command(words(text)), Some(public_half(key.reveal()).unwrap()))
}

/// A command that passes what is to be signed to somebody who has the key, over two pipes.
fn service(folder: &Path, key: &SigningKey) -> SignerSettings {
    let [asked, answer] = ["asked", "answer"].map(|name| folder.join(name));
    for pipe in [&asked, &answer] {
        assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
    }
    let text = format!("cat > {}; cat {}", asked.display(), answer.display());
    let signer = script(&text, key);
    let with_key = PemSigner::read(key.reveal()).unwrap();
    thread::spawn(move || {
        // Until the folder is gone.
        while let Ok(message) = fs::read(&asked) {
            if fs::write(&answer, with_key.sign(&message).unwrap()).is_err() {
                return;
            }
        }
    });
    signer
}

type Started = (Signers, watch::Receiver<Arc<StaticKeys>>);

async fn start(signer: &SignerSettings, tasks: &Tasks) -> Result<Started, NoSigner> {
    Signers::start(&Arc::default(), std::slice::from_ref(signer), SigningMetrics::default(), tasks).await
}

async fn refused(signer: &SignerSettings) -> String {
    start(signer, &Tasks::new()).await.err().unwrap().to_string()
}

fn ring(keys: &watch::Receiver<Arc<StaticKeys>>) -> Arc<KeyRing> {
    Arc::new(KeyRing::empty().with_static_keys(Arc::clone(&keys.borrow())))
}

fn sign(ring: &KeyRing) -> Result<Token, IssueError> {
    let zone = ZoneName::parse("west").unwrap();
    tokens::issue_zone(ring, &zone, Some(&[Scope::Cp]), HOUR, Timestamp::UNIX_EPOCH, Uuid::from_u128(7))
}

/// Has a token signed as the issuer does.
async fn issued(signers: &Signers, ring: &Arc<KeyRing>) -> Result<Token, IssueError> {
    let (ring, kid) = (Arc::clone(ring), ring.signs_outside(&Family::Zone).unwrap().to_owned());
    signers.signed(&Family::Zone, &kid, move || sign(&ring)).await
}

fn is_good(token: &Token, ring: &KeyRing) -> bool {
    let want = Want { zone: "west", accept: Accept::CpToken, leeway: HOUR, legacy_until: None };
    tokens::verify(token.reveal(), ring, Timestamp::UNIX_EPOCH, &want).is_ok()
}

#[tokio::test]
async fn what_files_and_commands_sign_is_accepted_and_their_keys_are_published() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
        let key = generate_key(algorithm);
        for signer in [in_file(folder.path(), &key).0, service(folder.path(), &key)] {
            let (signers, keys) = start(&signer, &tasks).await.unwrap();
            let ring = ring(&keys);
            let token = issued(&signers, &ring).await.unwrap();
            assert_eq!(token.algorithm(), algorithm);
            assert!(is_good(&token, &ring), "{algorithm} {}", signer.by.word());
            let mut verifies = StaticKeys::default();
            let kid = ring.signs_outside(&Family::Zone).unwrap();
            verifies.add(Family::Zone, kid, public_half(key.reveal()).unwrap().as_bytes()).unwrap();
            assert!(
                is_good(&token, &KeyRing::empty().with_static_keys(Arc::new(verifies))),
                "the public half is enough"
            );
            let published = tokens::jwk_set(&ring, |family| *family == Family::Zone);
            assert_eq!(published["keys"][0]["kid"], kid);
            assert_eq!(published["keys"][0].get("d"), None);
            let state = SignerState { family: Family::Zone, by: signer.by.word(), kid: kid.to_owned(), problem: None };
            assert_eq!(signers.states(), [state]);
        }
        tasks.stop();
    }
}

#[tokio::test]
async fn a_command_that_fails_or_prints_anything_else_issues_nothing() {
    let key = generate_key(Algorithm::Es256);
    let tasks = Tasks::new();
    for (text, why) in [
        ("cat; exit 3", "it failed (exit status: 3)"),
        ("exec cat /dev/zero", "it printed more than"),
        ("exec /there/is/no/such/program", "it failed (exit status: 127)"),
    ] {
        let (signers, keys) = start(&script(text, &key), &tasks).await.unwrap();
        let Err(IssueError::Outside { problem, .. }) = issued(&signers, &ring(&keys)).await else { panic!("{text}") };
        let told = problem.to_string();
        assert!(told.contains("command `sh`") && told.contains(why), "{told}");
        assert_eq!(signers.states()[0].problem, Some(told), "the doctor says it");
    }
    for text in ["true", "echo rubbish", "cat"] {
        let refused = refused(&script(text, &key)).await;
        assert!(refused.contains("no ES256 signature of the public key that is set for it"), "{text}: {refused}");
        assert!(!refused.contains('\n') && !refused.contains("rubbish"), "{refused}");
    }
}

#[test]
fn a_command_that_hangs_is_ended() {
    let refused = CommandSigner::of(&words("exec sleep 1000"), Duration::from_millis(50)).sign(b"").unwrap_err();
    assert!(refused.contains("command `sh`: it did not end within 0.05 s"), "{refused}");
}

#[tokio::test]
async fn a_command_that_signs_with_another_key_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let other = public_half(generate_key(Algorithm::EdDsa).reveal()).unwrap();
    let signer = service(folder.path(), &generate_key(Algorithm::EdDsa));
    let refused = refused(&SignerSettings { public: Some(other.into_bytes()), ..signer }).await;
    assert!(refused.contains("no EdDSA signature of the public key that is set for it"), "{refused}");
}

#[tokio::test]
async fn a_file_without_a_key_stops_the_start_and_nothing_of_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let key = generate_key(Algorithm::EdDsa);
    let (signer, file) = in_file(folder.path(), &key);
    put(&file, public_half(key.reveal()).unwrap().as_bytes());
    assert!(refused(&signer).await.contains("not a private key"));
    put(&file, b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n");
    let refusal = refused(&signer).await;
    assert!(refusal.contains("not a private key") && !refusal.contains("c2VjcmV0"), "{refusal}");
    fs::remove_file(&file).unwrap();
    let refusal = refused(&signer).await;
    assert!(refusal.contains("zone-token") && refusal.contains(&*file.display().to_string()), "{refusal}");
}

#[tokio::test(start_paused = true)]
async fn when_a_file_is_replaced_the_next_token_is_of_the_new_key() {
    let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let (signer, file) = in_file(folder.path(), &generate_key(Algorithm::EdDsa));
    let (signers, mut keys) = start(&signer, &tasks).await.unwrap();
    let before = ring(&keys);
    let first = sign(&before).unwrap();
    // What is no good is passed over, and the key of before signs on.
    put(&file, b"-----BEGIN PRIVATE KEY-----\n");
    tokio::time::sleep(HOUR).await;
    assert!(!keys.has_changed().unwrap());
    put(&file, generate_key(Algorithm::Es256).reveal());
    keys.changed().await.unwrap();
    let after = ring(&keys);
    let second = sign(&after).unwrap();
    assert_eq!(second.algorithm(), Algorithm::Es256);
    assert_ne!(before.signs_outside(&Family::Zone), after.signs_outside(&Family::Zone));
    assert!(is_good(&second, &after) && !is_good(&first, &after) && !is_good(&second, &before));
    assert_eq!(Some(signers.states()[0].kid.as_str()), after.signs_outside(&Family::Zone));
    tasks.stop();
}

#[tokio::test(start_paused = true)]
async fn a_file_with_another_key_under_a_name_that_is_taken_changes_nothing() {
    let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let first = generate_key(Algorithm::EdDsa);
    let (signer, file) = in_file(folder.path(), &first);
    let signer = SignerSettings { kid: Some("a".to_owned()), ..signer };
    let mut others = StaticKeys::default();
    others.add(Family::Zone, "a", public_half(first.reveal()).unwrap().as_bytes()).unwrap();
    let started = Signers::start(&Arc::new(others), &[signer], SigningMetrics::default(), &tasks).await;
    let (_signers, keys) = started.unwrap_or_else(|_| panic!("it may stand among the others"));
    put(&file, generate_key(Algorithm::EdDsa).reveal());
    tokio::time::sleep(HOUR).await;
    assert!(!keys.has_changed().unwrap());
    assert_eq!(sign(&ring(&keys)).unwrap().algorithm(), Algorithm::EdDsa);
    tasks.stop();
}
