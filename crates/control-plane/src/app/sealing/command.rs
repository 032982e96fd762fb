//! A command that seals data keys: whoever runs a key service writes one for it.
//!
//! ```text
//! COMMAND seal     standard input: a data key in base64      standard output: whatever it was sealed to
//! COMMAND unseal   standard input: what `seal` printed       standard output: the data key in base64
//! ```
//!
//! What it says goes into no error: it may say the key.

use std::time::Duration;

use store::sealing::{COMMAND, DataKey, DataKeyId, SealedDataKey, Sealer, SealerError};
use zeroize::Zeroizing;

use crate::programs::Program;

/// A key service far away answers in a second or two.
const DEADLINE: Duration = Duration::from_secs(30);

/// A command that seals data keys.
pub(super) struct SealingCommand(Program);

impl SealingCommand {
    /// The program and its arguments.
    pub(super) fn of(words: &[String]) -> Self {
        Self(Program::of(words, DEADLINE))
    }

    fn run(&self, what: &'static str, input: &str) -> Result<Zeroizing<Vec<u8>>, SealerError> {
        let failed = |why| SealerError::Unusable { detail: format!("store.sealing.command, `{what}`: {why}") };
        self.0.run(&[what], input.as_bytes()).map_err(failed)
    }
}

impl Sealer for SealingCommand {
    fn name(&self) -> Option<String> {
        Some(COMMAND.to_owned())
    }

    fn seal(&self, id: DataKeyId, key: &DataKey) -> Result<SealedDataKey, SealerError> {
        let printed = self.run("seal", &key.base64())?;
        let sealed = printed.trim_ascii().to_vec();
        if sealed.is_empty() {
            return Err(SealerError::Unusable {
                detail: "store.sealing.command, `seal`: it printed nothing".to_owned(),
            });
        }
        Ok(SealedDataKey { id, sealed_by: COMMAND.to_owned(), sealed })
    }

    fn unseal(&self, sealed: &SealedDataKey) -> Result<DataKey, SealerError> {
        if sealed.sealed_by != COMMAND {
            let (wanted, found) = (sealed.sealed_by.clone(), store::sealing::named(COMMAND));
            return Err(SealerError::AnotherKey { wanted, found });
        }
        let input = String::from_utf8_lossy(&sealed.sealed);
        let printed = self.run("unseal", &input)?;
        let key = std::str::from_utf8(&printed).ok().and_then(|text| DataKey::parse(text).ok());
        key.ok_or_else(|| SealerError::Unusable {
            detail: "store.sealing.command, `unseal`: it printed no data key (32 bytes in base64)".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(script: &str) -> SealingCommand {
        // `seal` or `unseal` comes behind as `$0`
        SealingCommand::of(&["sh", "-c", script].map(str::to_owned))
    }

    fn refusal(script: &str) -> String {
        let data_key = DataKey::generate().unwrap();
        let refused = command(script).seal(DataKeyId::FIRST, &data_key).unwrap_err().to_string();
        assert!(!refused.contains(data_key.base64().as_str()), "{refused}");
        refused
    }

    #[test]
    fn a_command_seals_and_opens_a_data_key() {
        let rot = "if [ \"$0\" = seal ]; then printf 'sealed:'; cat; else sed 's/^sealed://'; fi";
        let data_key = DataKey::generate().unwrap();
        let sealed = command(rot).seal(DataKeyId::FIRST, &data_key).unwrap();
        assert_eq!(sealed.sealed_by, "command");
        assert!(sealed.sealed.starts_with(b"sealed:"));
        assert_eq!(*command(rot).unseal(&sealed).unwrap().base64(), *data_key.base64());
    }

    #[test]
    fn a_command_that_fails_says_why_and_nothing_of_the_key() {
        assert!(refusal("cat; exit 3").contains("it failed (exit status: 3)"));
        assert!(refusal("true").contains("it printed nothing"));
        assert!(refusal("cat >&2; exit 1").contains("`seal`"));
        assert!(refusal("while :; do cat /dev/zero; done").contains("more than 65536 bytes"));
        let nowhere = SealingCommand::of(&["/there/is/no/such/program".to_owned()]);
        let refused = nowhere.seal(DataKeyId::FIRST, &DataKey::generate().unwrap()).unwrap_err().to_string();
        assert!(refused.contains("cannot start `/there/is/no/such/program`"), "{refused}");
    }

    #[test]
    fn what_a_key_sealed_is_not_given_to_a_command() {
        let key = store::sealing::SealingKey::generate().unwrap();
        let sealed = key.seal(DataKeyId::FIRST, &DataKey::generate().unwrap()).unwrap();
        let refused = command("exit 9").unseal(&sealed).unwrap_err();
        assert!(matches!(&refused, SealerError::AnotherKey { wanted, .. } if *wanted == sealed.sealed_by), "{refused}");
        let printed = SealedDataKey { sealed_by: "command".to_owned(), ..sealed };
        let refused = command("cat").unseal(&printed).unwrap_err().to_string();
        assert!(refused.contains("it printed no data key"), "{refused}");
    }
}
