//! Where the zone's token comes from: a setting, or a file that is read again for each connection and watched.
#![expect(clippy::disallowed_methods, reason = "work that blocks, and whoever asked for it waits for it")]

use std::{io, path::PathBuf, time::Duration};

use subtle::ConstantTimeEq as _;
use thiserror::Error;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::files;

/// How often the file is compared. A read of a small file costs nothing, and works for files that are replaced through
/// symbolic links, as Kubernetes does it, where change notices are unreliable.
const LOOK: Duration = Duration::from_millis(500);

/// A file that is being written is no good for a moment; after so many looks it is told.
const TOLD_AFTER: u32 = 10;

/// A token. Never shown.
#[derive(Clone)]
pub(crate) struct Token(Zeroizing<String>);

impl Token {
    /// Takes a token; what is no graphic character is dropped, as gRPC would refuse it in a header.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let trimmed: String = text.chars().filter(char::is_ascii_graphic).collect();
        (!trimmed.is_empty()).then(|| Self(Zeroizing::new(trimmed)))
    }

    /// The text, for the one header it goes into.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

/// Why there is no token.
#[derive(Debug, Error)]
pub(crate) enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the token file `{}`: {cause}", path.display())]
    Unreadable {
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file holds nothing.
    #[error("the token file `{}` is empty", path.display())]
    Empty { path: PathBuf },
}

/// Where tokens come from.
#[derive(Clone)]
pub(crate) enum TokenSource {
    /// No token is configured.
    None,
    /// The setting holds it.
    Inline(Token),
    File(PathBuf),
}

impl TokenSource {
    pub(crate) async fn read(&self) -> Result<Option<Token>, TokenError> {
        match self {
            Self::None => Ok(None),
            Self::Inline(token) => Ok(Some(token.clone())),
            Self::File(path) => {
                let unreadable = |cause| TokenError::Unreadable { path: path.clone(), cause };
                let file = path.clone();
                let read = tokio::task::spawn_blocking(move || files::read(&file, files::TOKEN)).await;
                let bytes = read.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(unreadable)?;
                let text = std::str::from_utf8(&bytes).unwrap_or("");
                Token::new(text).map(Some).ok_or_else(|| TokenError::Empty { path: path.clone() })
            }
        }
    }

    /// Resolves when there is a token that is not known. Tells why the file is no good for long, and `None` when it is again.
    /// Cancel safe.
    pub(super) async fn changed(&self, is_known: impl Fn(&Token) -> bool, tell: impl Fn(Option<&TokenError>)) {
        let Self::File(_) = self else { return std::future::pending().await };
        let mut unreadable = 0;
        loop {
            tokio::time::sleep(LOOK).await;
            match self.read().await {
                Ok(Some(token)) if !is_known(&token) => return,
                Ok(_) => {
                    if std::mem::take(&mut unreadable) >= TOLD_AFTER {
                        info!("the file of the token can be used again");
                        tell(None);
                    }
                }
                Err(error) => {
                    unreadable += 1;
                    if unreadable == TOLD_AFTER {
                        warn!(reason = %error, "the file of the token cannot be used; a connection that stands goes on, the next one needs a token in it");
                        tell(Some(&error));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_and_blanks_are_no_part_of_a_token() {
        for text in ["abc.def", "abc.def\n", "abc.def\r\n", " abc.def ", "abc.\ndef"] {
            assert_eq!(Token::new(text).unwrap().reveal(), "abc.def", "{text:?}");
        }
        for text in ["", "\n", " \r\n\t"] {
            assert!(Token::new(text).is_none(), "{text:?}");
        }
    }

    #[tokio::test]
    async fn the_file_is_read_anew_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let source = TokenSource::File(path.clone());
        assert!(matches!(source.read().await, Err(TokenError::Unreadable { .. })));
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(source.read().await, Err(TokenError::Empty { .. })));
        std::fs::write(&path, "one\n").unwrap();
        let one = source.read().await.unwrap();
        std::fs::write(&path, "two").unwrap();
        source.changed(|token| Some(token) == one.as_ref(), |_told| {}).await;
        assert_eq!(source.read().await.unwrap().unwrap().reveal(), "two");
        std::fs::File::create(&path).unwrap().set_len(2 << 30).unwrap();
        let large = source.read().await.err().unwrap().to_string();
        assert!(large.ends_with("it is larger than 65536 bytes"), "{large}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_no_token_for_long_is_told_once() {
        use std::sync::atomic::{AtomicU32, Ordering};

        use tracing_subscriber::layer::SubscriberExt as _;

        static TOLD: AtomicU32 = AtomicU32::new(0);
        struct Counts;
        impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Counts {
            fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
                if event.metadata().target() == module_path!().trim_end_matches("::tests") {
                    TOLD.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        let _log = tracing::subscriber::set_default(tracing_subscriber::registry().with(Counts));
        let folder = tempfile::tempdir().unwrap();
        let source = TokenSource::File(folder.path().to_owned());
        let told_after = |looks: u32| {
            let source = source.clone();
            async move {
                let _still_waits = tokio::time::timeout(LOOK * looks, source.changed(|_token| false, |_told| {})).await;
                TOLD.load(Ordering::Relaxed)
            }
        };
        assert_eq!(told_after(TOLD_AFTER - 2).await, 0, "it may be written just now");
        assert_eq!(told_after(TOLD_AFTER * 3).await, 1);
    }
}
