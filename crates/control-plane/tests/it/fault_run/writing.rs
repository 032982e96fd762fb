//! Somebody who writes policies through all globals, and remembers what each write was answered with.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use testkit::{client, seed::Chance};

use super::installation::Addresses;

/// So many names are written to in turn.
const NAMES: usize = 8;

/// What became of a policy: its timeout in seconds, or that it is not there.
type State = Option<u64>;

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) acknowledged: usize,
    pub(super) unknown: usize,
    /// What each policy may be: one thing, or either of two when an answer was lost.
    may_be: BTreeMap<String, Vec<State>>,
}

impl Written {
    /// What is not as it was acknowledged.
    pub(super) fn missing_in(&self, found: &BTreeMap<String, Value>) -> Vec<String> {
        let state =
            |name: &str| -> State { seconds(found.get(name)?.pointer("/to/0/default/connectionTimeout")?.as_str()?) };
        let wrong = |(name, may_be): (&String, &Vec<State>)| {
            let is = if found.contains_key(name) { state(name) } else { None };
            (!may_be.contains(&is)).then(|| format!("{name} is {is:?} and not one of {may_be:?}"))
        };
        self.may_be.iter().filter_map(wrong).collect()
    }
}

/// Reads a duration as it is answered: `1h2m3s`.
fn seconds(text: &str) -> Option<u64> {
    let (mut all, mut number) = (0, 0);
    for character in text.chars() {
        match character {
            'h' | 'm' | 's' => {
                all += number * [('h', 3600), ('m', 60), ('s', 1)].into_iter().find(|(unit, _)| *unit == character)?.1;
                number = 0;
            }
            digit => number = number * 10 + u64::from(digit.to_digit(10)?),
        }
    }
    Some(all)
}

/// Writes until it is over. A name whose answer was lost is left alone from then on: nobody knows what it is.
pub(super) fn until(over: &AtomicBool, globals: &[Addresses], mut chance: Chance) -> Written {
    let mut written = Written::default();
    let mut names: Vec<String> = (0..NAMES).map(|number| format!("policy-{number}")).collect();
    let mut next = NAMES;
    let mut value = 0;
    while !over.load(Ordering::Relaxed) {
        let mut one_of = |count: usize| usize::try_from(chance.below(count as u64)).unwrap();
        let (global, place) = (one_of(globals.len()), one_of(names.len()));
        let name = names[place].clone();
        let before = written.may_be.get(&name).and_then(|states| states[0]);
        value += 1;
        let wanted = (one_of(5) > 0).then_some(value);
        match write(globals[global], &name, wanted) {
            Answer::Done => {
                written.acknowledged += 1;
                written.may_be.insert(name, vec![wanted]);
            }
            Answer::NotDone => {}
            Answer::Unknown => {
                written.unknown += 1;
                written.may_be.insert(name, vec![before, wanted]);
                names[place] = format!("policy-{next}");
                next += 1;
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
    written
}

enum Answer {
    Done,
    NotDone,
    Unknown,
}

fn write(global: Addresses, name: &str, wanted: State) -> Answer {
    let path = format!("/meshes/default/meshtimeouts/{name}");
    let answered = match wanted {
        None => client::try_ask(global.rest, "DELETE", &path, None),
        Some(seconds) => {
            let default = json!({"connectionTimeout": format!("{seconds}s")});
            let spec = json!({"to": [{"targetRef": {"kind": "Mesh"}, "default": default}]});
            let policy = json!({"type": "MeshTimeout", "mesh": "default", "name": name, "spec": spec});
            client::try_ask(global.rest, "PUT", &path, Some(&policy))
        }
    };
    match answered {
        // What is not there need not be deleted.
        Ok((200 | 201, _)) => Answer::Done,
        Ok((404, _)) if wanted.is_none() => Answer::Done,
        Ok((503, text)) if text.contains("nothing was written") => Answer::NotDone,
        // Nobody heard it.
        Err(ureq::Error::Io(cause)) if cause.kind() == std::io::ErrorKind::ConnectionRefused => Answer::NotDone,
        Ok((503, _)) | Err(_) => Answer::Unknown,
        Ok((status, text)) => panic!("{name}: {status} {text}"),
    }
}
