//! A key on a PKCS#11 token: an HSM, a smart card, or a library that behaves like one. It never leaves the token.
//!
//! The library is loaded once and stays. The session is opened when it is first needed, and anew after something went wrong
//! with it: tokens are pulled out and plugged in again.

use std::sync::{Mutex, PoisonError};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::{
        Mechanism,
        eddsa::{EddsaParams, EddsaSignatureScheme},
    },
    object::{Attribute, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use sha2::{Digest as _, Sha256};
use tokens::{Algorithm, Signer};

use super::{TokenKey, TokenNamed};
use crate::files;

/// Signs with a key on a token.
pub(super) struct TokenSigner {
    key: TokenKey,
    algorithm: Algorithm,
    library: Pkcs11,
    /// One at a time: tokens sign one after the other anyway.
    session: Mutex<Option<Open>>,
}

/// A session that somebody logged in to, and the key that was found in it.
struct Open {
    session: Session,
    key: ObjectHandle,
}

impl TokenSigner {
    /// Loads the library; asks the token for nothing. The public half says what is signed.
    pub(super) fn of(key: &TokenKey, public: &[u8]) -> Result<Self, String> {
        let algorithm = tokens::public_algorithm(public).map_err(|problem| problem.to_string())?;
        let module = key.module.display();
        let library = Pkcs11::new(&key.module).map_err(|cause| format!("cannot load library `{module}`: {cause}"))?;
        match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another signer of this program loaded it before.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(cause) => return Err(format!("library `{module}` does not start: {cause}")),
        }
        Ok(Self { key: key.clone(), algorithm, library, session: Mutex::default() })
    }

    fn open(&self) -> Result<Open, String> {
        let slot = self.slot()?;
        let file = self.key.pin_file.display();
        let pin = files::read_text(&self.key.pin_file, files::TOKEN)
            .map_err(|cause| format!("the PIN in file `{file}` cannot be read: {cause}"))?;
        let pin = AuthPin::from(pin.trim_end_matches(['\r', '\n']).to_owned());
        let session = self.library.open_ro_session(slot).map_err(said("no session is opened"))?;
        match session.login(UserType::User, Some(&pin)) {
            // Another signer of this program is logged in to it.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(cause) => return Err(format!("the PIN in file `{file}` is not taken: {cause}")),
        }
        let label = &self.key.label;
        let wanted = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label(label.clone().into_bytes())];
        let found = session.find_objects(&wanted).map_err(said("its keys cannot be listed"))?;
        match found.as_slice() {
            [key] => Ok(Open { key: *key, session }),
            [] => Err(format!("there is no private key {label:?} on it")),
            several => Err(format!("there are {} private keys {label:?} on it", several.len())),
        }
    }

    fn slot(&self) -> Result<Slot, String> {
        let slots = self.library.get_slots_with_token().map_err(said("its slots cannot be listed"))?;
        match &self.key.token {
            TokenNamed::Slot(number) => slots
                .into_iter()
                .find(|slot| slot.id() == *number)
                .ok_or_else(|| format!("no token is in slot {number}")),
            TokenNamed::Label(label) => {
                let is_it = |slot: &Slot| {
                    self.library.get_token_info(*slot).is_ok_and(|token| token.label().trim_end() == label)
                };
                let mut those = slots.into_iter().filter(is_it);
                match (those.next(), those.next()) {
                    (Some(slot), None) => Ok(slot),
                    (None, _) => Err(format!("there is no token {label:?}")),
                    (Some(_), Some(_)) => Err(format!("there are several tokens {label:?}: name the slot")),
                }
            }
        }
    }

    fn sign_with(&self, open: &Open, message: &[u8]) -> Result<Vec<u8>, Error> {
        let sign = |mechanism: &Mechanism<'_>, data: &[u8]| open.session.sign(mechanism, open.key, data);
        match self.algorithm {
            Algorithm::EdDsa => sign(&Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)), message),
            // Not all tokens hash by themselves.
            Algorithm::Es256 => sign(&Mechanism::Ecdsa, &Sha256::digest(message)),
            Algorithm::Rs256 | Algorithm::Hs256 => sign(&Mechanism::Sha256RsaPkcs, message),
        }
    }
}

impl Signer for TokenSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let named = |why: String| {
            let token = match &self.key.token {
                TokenNamed::Slot(number) => format!("in slot {number}"),
                TokenNamed::Label(label) => format!("{label:?}"),
            };
            format!("PKCS#11 token {token} of `{}`: {why}", self.key.module.display())
        };
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &*session
            && let Ok(signature) = self.sign_with(open, message)
        {
            return Ok(signature);
        }
        // Closed before another one is opened: what went wrong with it may be that it is one too many.
        *session = None;
        let open = session.insert(self.open().map_err(named)?);
        self.sign_with(open, message).map_err(said("it does not sign")).map_err(named)
    }
}

/// What the library said, behind what it means here.
fn said(what: &'static str) -> impl Fn(Error) -> String {
    move |cause| format!("{what}: {cause}")
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
        process::Command,
        sync::Arc,
    };

    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use tokens::{OutsideKey, SigningProblem, generate_key, public_half};

    use super::*;

    const LIBRARIES: [&str; 3] = [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib64/pkcs11/libsofthsm2.so",
        "/usr/local/lib/softhsm/libsofthsm2.so",
    ];
    const PIN: &str = "2468";

    fn util(configuration: &Path, arguments: &[&str]) {
        let ran = Command::new("softhsm2-util").env("SOFTHSM2_CONF", configuration).args(arguments).output().unwrap();
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    /// The tests run anew in a process of their own: the library reads its configuration from the environment, once.
    #[test]
    fn keys_on_tokens_sign() {
        let Some(library) = LIBRARIES.iter().map(Path::new).find(|path| path.exists()) else {
            eprintln!("SKIPPED: SoftHSM2 is not installed (apt-get install softhsm2), so nothing signed with PKCS#11");
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let configuration = folder.path().join("softhsm2.conf");
        fs::create_dir(folder.path().join("tokens")).unwrap();
        let text = format!("directories.tokendir = {}/tokens\nobjectstore.backend = file\n", folder.path().display());
        fs::write(&configuration, text).unwrap();
        util(&configuration, &["--init-token", "--free", "--label", "arctos", "--so-pin", "1357", "--pin", PIN]);
        fs::write(folder.path().join("pin"), format!("{PIN}\n")).unwrap();
        for (name, algorithm, id) in
            [("rsa", Algorithm::Rs256, "01"), ("p256", Algorithm::Es256, "02"), ("ed25519", Algorithm::EdDsa, "03")]
        {
            let key = generate_key(algorithm);
            let pem = folder.path().join(format!("{name}.pem"));
            fs::write(folder.path().join(format!("{name}.public.pem")), public_half(key.reveal()).unwrap()).unwrap();
            fs::write(&pem, in_pkcs8(key.reveal())).unwrap();
            let import =
                ["--import", pem.to_str().unwrap(), "--token", "arctos", "--label", name, "--id", id, "--pin", PIN];
            util(&configuration, &import);
        }
        let tests = std::env::current_exe().unwrap();
        let ran = Command::new(tests)
            .env("SOFTHSM2_CONF", &configuration)
            .env("ARCTOS_TEST_TOKEN", format!("{}\n{}", library.display(), folder.path().display()))
            .args(["--exact", "signers::pkcs11::tests::in_its_own_process", "--nocapture"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success() && said.contains("tokens signed"), "{said}");
    }

    /// What the tool imports is PKCS#8; our RSA keys are PKCS#1.
    fn in_pkcs8(pem: &[u8]) -> Vec<u8> {
        const RSA: [u8; 15] = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
        let text = std::str::from_utf8(pem).unwrap();
        if !text.starts_with("-----BEGIN RSA") {
            return pem.to_vec();
        }
        let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let of = |tag, content: &[u8]| {
            [&[tag, 0x82], &u16::try_from(content.len()).unwrap().to_be_bytes()[..], content].concat()
        };
        let key = of(4, &STANDARD.decode(base64).unwrap());
        let whole = of(0x30, &[&[2, 1, 0][..], &RSA, &key].concat());
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(whole)).into_bytes()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "how the test above tells its second process where the token is")]
    fn in_its_own_process() {
        let Ok(told) = std::env::var("ARCTOS_TEST_TOKEN") else { return };
        let (library, folder) = told.split_once('\n').unwrap();
        let folder = PathBuf::from(folder);
        let key = |label: &str, token| TokenKey {
            module: library.into(),
            token,
            label: label.to_owned(),
            pin_file: folder.join("pin"),
        };
        let named = || TokenNamed::Label("arctos".to_owned());
        let outside = |key: &TokenKey, public: &str| {
            let public = fs::read(folder.join(format!("{public}.public.pem"))).unwrap();
            OutsideKey::new(None, &public, Arc::new(TokenSigner::of(key, &public).unwrap())).unwrap()
        };
        for (name, algorithm) in [("rsa", Algorithm::Rs256), ("p256", Algorithm::Es256), ("ed25519", Algorithm::EdDsa)]
        {
            let signing = outside(&key(name, named()), name);
            assert_eq!(signing.algorithm(), algorithm);
            assert_eq!((signing.probe(), signing.probe()), (Ok(()), Ok(())), "{name}: in the same session too");
        }
        let failed = |key: &TokenKey, why: &str| {
            let problem = outside(key, "p256").probe().unwrap_err().to_string();
            assert!(problem.contains(why) && problem.contains(library) && !problem.contains(PIN), "{problem}");
        };
        failed(&key("none", named()), "no private key \"none\"");
        failed(&key("p256", TokenNamed::Label("none".to_owned())), "there is no token \"none\"");
        failed(&key("p256", TokenNamed::Slot(123_456)), "no token is in slot 123456");
        let nowhere = TokenKey { pin_file: folder.join("nowhere"), ..key("p256", named()) };
        failed(&nowhere, "cannot be read");
        let other = outside(&key("rsa", named()), "p256");
        assert!(matches!(other.probe(), Err(SigningProblem::Failed { .. })), "an RSA key makes no signature of P-256");
        let missing = TokenKey { module: "/there/is/no.so".into(), ..key("rsa", named()) };
        let public = fs::read(folder.join("rsa.public.pem")).unwrap();
        assert!(TokenSigner::of(&missing, &public).err().unwrap().contains("cannot load library `/there/is/no.so`"));
        eprintln!("tokens signed");
    }
}
