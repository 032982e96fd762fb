//! A command that seals data keys: whoever runs a key service writes one for it.
//!
//! ```text
//! COMMAND seal     standard input: a data key in base64      standard output: whatever it was sealed to
//! COMMAND unseal   standard input: what `seal` printed       standard output: the data key in base64
//! ```
//!
//! Bytes are pumped by threads that end with the command, so that one that hangs, or floods, is ended after a time. What it
//! says goes into no error: it may say the key.

use std::{
    io::{self, Read as _, Write as _},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use store::sealing::{DataKey, DataKeyId, SealedDataKey, Sealer, SealerError};
use zeroize::Zeroizing;

/// A key service far away answers in a second or two.
const DEADLINE: Duration = Duration::from_secs(30);
/// Whatever a key service makes of 32 bytes is smaller.
const MOST: u64 = 64 * 1024;
/// What stands for the key of a command, which nobody here knows.
const NAME: &str = "command";

/// A command that seals data keys.
pub(super) struct SealingCommand {
    words: Vec<String>,
    deadline: Duration,
}

impl SealingCommand {
    /// The program and its arguments.
    pub(super) fn of(words: &[String]) -> Self {
        Self { words: words.to_vec(), deadline: DEADLINE }
    }

    fn run(&self, what: &'static str, input: &str) -> Result<Zeroizing<Vec<u8>>, SealerError> {
        let failed = |why: String| SealerError::Unusable { detail: format!("store.sealing.command, `{what}`: {why}") };
        let (program, arguments) = self.words.split_first().ok_or_else(|| failed("it names no program".to_owned()))?;
        let mut child = Command::new(program)
            .args(arguments)
            .arg(what)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|cause| failed(format!("cannot start `{program}`: {cause}")))?;
        let id = child.id();
        let ended = self.talk(&mut child, input);
        if ended.is_err() {
            // Whatever it does, it does not go on.
            let _ended_already = child.kill();
        }
        let (waiter, waited) = mpsc::channel();
        thread::spawn(move || drop(waiter.send(child.wait())));
        // One that closed its output may still not end.
        let Ok(waited) = waited.recv_timeout(self.deadline) else {
            if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
                let _ended_already = kill_process(pid, Signal::KILL);
            }
            return Err(failed(self.too_slow()));
        };
        let output = ended.map_err(failed)?;
        match waited {
            Ok(status) if status.success() => Ok(output),
            Ok(status) => Err(failed(format!("it failed ({status})"))),
            Err(cause) => Err(failed(format!("it cannot be waited for: {cause}"))),
        }
    }

    fn too_slow(&self) -> String {
        format!("it did not end within {} s", self.deadline.as_secs())
    }

    /// Gives the child its input and takes its output until it closes it.
    fn talk(&self, child: &mut Child, input: &str) -> Result<Zeroizing<Vec<u8>>, String> {
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("it has no standard input or output".to_owned());
        };
        let input = Zeroizing::new(input.as_bytes().to_vec());
        let (answer, answered) = mpsc::channel();
        let read = move || -> io::Result<Zeroizing<Vec<u8>>> {
            let mut output = Zeroizing::new(Vec::with_capacity(4096));
            stdout.take(MOST + 1).read_to_end(&mut output)?;
            Ok(output)
        };
        // One that does not read its input ends all the same, and says by its status whether it needed it.
        thread::spawn(move || drop(stdin.write_all(&input)));
        thread::spawn(move || drop(answer.send(read())));
        match answered.recv_timeout(self.deadline) {
            Ok(Ok(output)) if output.len() as u64 > MOST => Err(format!("it printed more than {MOST} bytes")),
            Ok(Ok(output)) => Ok(output),
            Ok(Err(cause)) => Err(format!("its output cannot be read: {cause}")),
            Err(_) => Err(self.too_slow()),
        }
    }
}

impl Sealer for SealingCommand {
    fn name(&self) -> Option<String> {
        Some(NAME.to_owned())
    }

    fn seal(&self, id: DataKeyId, key: &DataKey) -> Result<SealedDataKey, SealerError> {
        let printed = self.run("seal", &key.base64())?;
        let sealed = printed.trim_ascii().to_vec();
        if sealed.is_empty() {
            return Err(SealerError::Unusable {
                detail: "store.sealing.command, `seal`: it printed nothing".to_owned(),
            });
        }
        Ok(SealedDataKey { id, sealed_by: NAME.to_owned(), sealed })
    }

    fn unseal(&self, sealed: &SealedDataKey) -> Result<DataKey, SealerError> {
        if sealed.sealed_by != NAME {
            let (wanted, found) = (sealed.sealed_by.clone(), "a command (store.sealing.command)".to_owned());
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
        SealingCommand { words: ["sh", "-c", script].map(str::to_owned).to_vec(), deadline: Duration::from_secs(30) }
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
    fn a_command_that_hangs_is_ended() {
        for script in ["exec sleep 1000", "echo sealed; exec sleep 1000 >&-"] {
            let hanging = SealingCommand { deadline: Duration::from_millis(50), ..command(script) };
            let refused = hanging.seal(DataKeyId::FIRST, &DataKey::generate().unwrap()).unwrap_err().to_string();
            assert!(refused.contains("did not end within"), "{script}: {refused}");
        }
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
