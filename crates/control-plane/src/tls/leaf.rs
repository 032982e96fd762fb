//! A certificate that this instance makes for itself from the authority of its store: in memory alone, and made anew before its
//! end and when this machine has other names.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::sign::CertifiedKey;
use tokio::time::sleep;
use tracing::{info, warn};

use super::{TlsError, machine, own_authority::OwnAuthority};
use crate::{
    clock::Clock,
    tasks::{OnError, Tasks},
};

const LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// At so much of its life it is made anew: weeks are left if that fails.
const RENEWED_AFTER: Duration = Duration::from_secs(60 * 24 * 60 * 60);
/// How often the names of this machine are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The certificate in use.
pub(super) struct Leaf {
    authority: OwnAuthority,
    /// Where the certificate of the authority lies.
    root_file: PathBuf,
    /// Names beside those of this machine.
    also: Vec<String>,
    clock: Clock,
    current: ArcSwap<CertifiedKey>,
    made: Mutex<Made>,
}

/// What the certificate in use was made of.
struct Made {
    names: Vec<String>,
    at: Timestamp,
    /// Making another one failed, and that was said.
    failed: bool,
}

impl Leaf {
    pub(super) fn new(
        authority: OwnAuthority,
        root_file: &Path,
        also: &[String],
        clock: Clock,
    ) -> Result<Arc<Self>, TlsError> {
        let (names, at) = (machine::names_and(also), clock.now());
        let current = ArcSwap::from_pointee(authority.sign(&names, at, LIFE)?);
        info!(root = %root_file.display(), names = %names.join(", "), "made a certificate for this instance");
        let (root_file, also) = (root_file.to_path_buf(), also.to_vec());
        let made = Mutex::new(Made { names, at, failed: false });
        Ok(Arc::new(Self { authority, root_file, also, clock, current, made }))
    }

    pub(super) fn current(&self) -> Arc<CertifiedKey> {
        self.current.load_full()
    }

    /// Returns the root file, and when the authority in it ends: the certificate in use is made anew by itself.
    pub(super) fn told(&self) -> (PathBuf, Timestamp) {
        (self.root_file.clone(), self.authority.ends())
    }

    /// Starts the task that makes it anew.
    pub(super) fn watch(self: &Arc<Self>, tasks: &Tasks) {
        let (leaf, owner) = (Arc::clone(self), tasks.clone());
        tasks.spawn("tls-leaf", OnError::Log, async move {
            loop {
                tokio::select! {
                    () = owner.stopping() => return Ok(()),
                    () = sleep(LOOK_EVERY) => leaf.look(machine::names_and(&leaf.also)),
                }
            }
        });
    }

    /// Makes it anew if that is due.
    fn look(&self, names: Vec<String>) {
        let now = self.clock.now();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let age = Duration::try_from(now.duration_since(made.at)).unwrap_or_default();
        if names == made.names && age < RENEWED_AFTER {
            return;
        }
        match self.authority.sign(&names, now, LIFE) {
            Ok(leaf) => {
                self.current.store(Arc::new(leaf));
                info!(names = %names.join(", "), "new certificate in use");
                *made = Made { names, at: now, failed: false };
            }
            Err(error) => {
                if !std::mem::replace(&mut made.failed, true) {
                    warn!(reason = %error.chain(), "the certificate cannot be made anew, the old one stays in use");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;
    use x509_parser::prelude::{FromDer as _, X509Certificate};

    use super::*;

    fn ends(leaf: &Leaf) -> i64 {
        let current = leaf.current();
        let (_, parsed) = X509Certificate::from_der(&current.cert[0]).unwrap();
        parsed.validity().not_after.timestamp()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_made_anew_before_its_end_and_with_other_names() {
        let clock = Clock::starting_at("2026-10-02T10:00:00Z".parse().unwrap());
        let authority = OwnAuthority::make(clock.now()).unwrap();
        let also = ["cp.example.com".to_owned()];
        let leaf = Leaf::new(authority, Path::new("kuma-cp.crt"), &also, clock.clone()).unwrap();
        let names = machine::names_and(&also);
        assert!(names.contains(&also[0]));
        let first = leaf.current();
        leaf.look(names.clone());
        assert!(Arc::ptr_eq(&first, &leaf.current()), "nothing is due");
        let mut other = names.clone();
        other.push("10.9.8.7".to_owned());
        leaf.look(other.clone());
        let second = leaf.current();
        assert!(!Arc::ptr_eq(&first, &second), "another name");
        let end = ends(&leaf);
        advance(RENEWED_AFTER - Duration::from_secs(1)).await;
        leaf.look(other.clone());
        assert!(Arc::ptr_eq(&second, &leaf.current()), "it is good for weeks");
        advance(Duration::from_secs(1)).await;
        assert!(clock.now().as_second() < end, "it has not ended");
        leaf.look(other);
        assert!(ends(&leaf) > end);
    }
}
