//! Makes inputs: mutations of seeds, and bytes from nothing.

use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::{
    Form, Inputs,
    protobuf::{self, Field, Value},
    words::{NUMBERS, TEXTS},
};

/// No input grows beyond this, or the same mutations would only get slower.
const LONGEST: usize = 256 * 1024;

/// Makes inputs of one target.
pub(super) struct Mutator<'a> {
    inputs: &'a Inputs,
    words: Vec<&'a str>,
}

impl<'a> Mutator<'a> {
    pub(super) fn new(inputs: &'a Inputs) -> Self {
        Self { inputs, words: inputs.words.iter().map(String::as_str).chain(TEXTS).collect() }
    }

    /// Returns the next input.
    pub(super) fn input(&self, random: &mut StdRng) -> Vec<u8> {
        let mut input = if random.random_bool(0.9) { self.seed(random).to_vec() } else { self.anything(random) };
        // One change alone finds what several hide.
        let changes = if random.random_bool(0.3) { 1 } else { random.random_range(2..6) };
        for _ in 0..changes {
            self.mutate(&mut input, random);
        }
        input.truncate(LONGEST);
        input
    }

    /// A seed: a recorded one as often as one that was made. Empty if there is none.
    fn seed(&self, random: &mut StdRng) -> &'a [u8] {
        let Inputs { recorded, made, .. } = self.inputs;
        let (first, second) = if random.random() { (recorded, made) } else { (made, recorded) };
        first.choose(random).or_else(|| second.choose(random)).map(Vec::as_slice).unwrap_or_default()
    }

    fn anything(&self, random: &mut StdRng) -> Vec<u8> {
        match self.inputs.form {
            Form::Bytes => bytes(random, 64),
            Form::Text => {
                let count = random.random_range(0..6);
                (0..count).flat_map(|_| self.text(random)).collect()
            }
            Form::Message => self.message(random, 3),
            Form::Messages => {
                let messages: Vec<_> = (0..random.random_range(0..5)).map(|_| self.message(random, 3)).collect();
                protobuf::joined(messages.iter().map(Vec::as_slice))
            }
        }
    }

    fn mutate(&self, input: &mut Vec<u8>, random: &mut StdRng) {
        match self.inputs.form {
            Form::Bytes => self.mutate_bytes(input, random),
            Form::Text => self.mutate_text(input, random),
            Form::Message => self.mutate_message(input, random, 0),
            Form::Messages => self.mutate_messages(input, random),
        }
    }

    fn mutate_messages(&self, input: &mut Vec<u8>, random: &mut StdRng) {
        if random.random_ratio(1, 16) {
            return self.mutate_bytes(input, random);
        }
        let mut messages: Vec<Vec<u8>> = protobuf::split(input).into_iter().map(<[u8]>::to_vec).collect();
        let other = protobuf::split(self.seed(random));
        match random.random_range(0..8) {
            0 => messages.insert(index(random, messages.len() + 1), self.message(random, 3)),
            1 | 2 if !other.is_empty() => {
                messages.insert(index(random, messages.len() + 1), other.choose(random).unwrap_or(&&[][..]).to_vec());
            }
            3 if !messages.is_empty() => {
                let message = messages[index(random, messages.len())].clone();
                messages.insert(index(random, messages.len() + 1), message);
            }
            4 if messages.len() > 1 => drop(messages.remove(index(random, messages.len()))),
            5 if messages.len() > 1 => {
                let (left, right) = (index(random, messages.len()), index(random, messages.len()));
                messages.swap(left, right);
            }
            _ if !messages.is_empty() => {
                let chosen = index(random, messages.len());
                self.mutate_message(&mut messages[chosen], random, 0);
            }
            _ => messages.push(self.message(random, 3)),
        }
        *input = protobuf::joined(messages.iter().map(Vec::as_slice));
    }

    /// Changes one field somewhere inside, with lengths that fit; or any byte.
    fn mutate_message(&self, input: &mut Vec<u8>, random: &mut StdRng, depth: usize) {
        let Some(mut fields) = protobuf::fields(input).filter(|fields| !fields.is_empty()) else {
            let text = matches!(input.first(), Some(b'{' | b'[' | b'"'));
            return if text { self.mutate_text(input, random) } else { self.mutate_bytes(input, random) };
        };
        if random.random_ratio(1, 10) {
            return self.mutate_bytes(input, random);
        }
        let chosen = index(random, fields.len());
        if depth < 12
            && random.random_bool(0.7)
            && let Value::Bytes(inner) = &mut fields[chosen].value
        {
            self.mutate_message(inner, random, depth + 1);
        } else {
            self.mutate_fields(&mut fields, chosen, random);
        }
        *input = protobuf::message(&fields);
    }

    fn mutate_fields(&self, fields: &mut Vec<Field>, chosen: usize, random: &mut StdRng) {
        match random.random_range(0..10) {
            0 => drop(fields.remove(chosen)),
            1 => fields.insert(index(random, fields.len() + 1), fields[chosen].clone()),
            2 => {
                let other = index(random, fields.len());
                fields.swap(chosen, other);
            }
            3 => fields[chosen].number = random.random_range(1..12),
            4 => fields.insert(index(random, fields.len() + 1), self.field(random, 2)),
            5 => {
                // A field of a seed: of the top level, or of one of its messages.
                let seed = self.seed(random);
                let parts = if self.inputs.form == Form::Messages { protobuf::split(seed) } else { vec![seed] };
                let donor = parts.choose(random).and_then(|part| protobuf::fields(part)).unwrap_or_default();
                if let Some(field) = donor.choose(random) {
                    fields.insert(index(random, fields.len() + 1), field.clone());
                }
            }
            6 => fields[chosen].value = self.field(random, 2).value,
            _ => match &mut fields[chosen].value {
                Value::Varint(value) => *value = *NUMBERS.choose(random).unwrap_or(&0),
                Value::Fixed64(bytes) => random.fill(bytes),
                Value::Fixed32(bytes) => random.fill(bytes),
                Value::Bytes(inner) => match random.random_range(0..3) {
                    0 => *inner = self.text(random),
                    1 => self.mutate_text(inner, random),
                    _ => self.mutate_bytes(inner, random),
                },
            },
        }
    }

    fn mutate_text(&self, input: &mut Vec<u8>, random: &mut StdRng) {
        let at = place(random, input.len());
        match random.random_range(0..8) {
            0 => self.mutate_bytes(input, random),
            1 => {
                // One word in the place of another.
                let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/');
                let start = input[..at].iter().rposition(|byte| !is_word(byte)).map_or(0, |index| index + 1);
                let end = input[at..].iter().position(|byte| !is_word(byte)).map_or(input.len(), |index| at + index);
                input.splice(start..end, self.text(random));
            }
            2 => {
                let brackets =
                    [&b"{"[..], b"}", b"[", b"]", b"\"", b",", b":", b"\n", b"  ", b"- ", b"\\", b"#", b"&a", b"*a"];
                input.splice(at..at, brackets.choose(random).unwrap_or(&&b""[..]).iter().copied());
            }
            3 => {
                let number = NUMBERS.choose(random).unwrap_or(&0);
                let text = if random.random() { number.to_string() } else { (*number as i64).to_string() };
                input.splice(at..at, text.into_bytes());
            }
            4 => {
                // A part of a seed in the middle of this one.
                let seed = self.seed(random);
                let start = index(random, seed.len() + 1);
                let end = (start + random.random_range(0..64)).min(seed.len());
                input.splice(at..at, seed[start..end].iter().copied());
            }
            5 => {
                // As deep as a reader goes, and deeper.
                let depth = *[3, 100, 130, 1_000].choose(random).unwrap_or(&3);
                let opening = *[&b"["[..], b"{\"a\":", b"- "].choose(random).unwrap_or(&&b"["[..]);
                input.splice(at..at, opening.repeat(depth));
            }
            _ => drop(input.splice(at..at, self.text(random))),
        }
    }

    fn mutate_bytes(&self, input: &mut Vec<u8>, random: &mut StdRng) {
        let at = place(random, input.len());
        let end = (at + random.random_range(1..16)).min(input.len());
        match random.random_range(0..8) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..end)),
            2 => drop(input.splice(at..at, bytes(random, 16))),
            3 => {
                let copy = input[at..end].to_vec();
                input.splice(at..at, copy);
            }
            4 => {
                let seed = self.seed(random);
                let from = index(random, seed.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&seed[from..]);
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = if random.random() { *byte ^ 1 << random.random_range(0..8) } else { random.random() };
                }
            }
        }
    }

    fn message(&self, random: &mut StdRng, depth: usize) -> Vec<u8> {
        let fields: Vec<Field> = (0..random.random_range(0..5)).map(|_| self.field(random, depth)).collect();
        protobuf::message(&fields)
    }

    fn field(&self, random: &mut StdRng, depth: usize) -> Field {
        let value = match random.random_range(0..8) {
            0 | 1 => Value::Varint(*NUMBERS.choose(random).unwrap_or(&0)),
            2 => Value::Fixed32(random.random()),
            3 => Value::Fixed64(random.random()),
            4 | 5 if depth > 0 => Value::Bytes(self.message(random, depth - 1)),
            _ => Value::Bytes(self.text(random)),
        };
        Field { number: random.random_range(1..10), value }
    }

    fn text(&self, random: &mut StdRng) -> Vec<u8> {
        match random.random_range(0..12) {
            0 => bytes(random, 12),
            1 => b"a".repeat(*[63, 64, 236, 237, 253, 254, 1024, 1025].choose(random).unwrap_or(&1)),
            _ => self.words.choose(random).map(|word| word.as_bytes().to_vec()).unwrap_or_default(),
        }
    }
}

fn index(random: &mut StdRng, length: usize) -> usize {
    if length == 0 { 0 } else { random.random_range(0..length) }
}

/// A place in an input of this length: anywhere, and often at one of its ends.
fn place(random: &mut StdRng, length: usize) -> usize {
    match random.random_range(0..10) {
        0 => 0,
        1 => length,
        _ => index(random, length + 1),
    }
}

fn bytes(random: &mut StdRng, longest: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(0..=longest)];
    random.fill(&mut bytes[..]);
    bytes
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn inputs(seed: u64, form: Form) -> Vec<Vec<u8>> {
        let seeds = [protobuf::joined([&[0x0a, 4, b'M', b'e', b's', b'h'][..], &[0x12, 2, 8, 1]])];
        let inputs = Inputs::new(form).made(seeds);
        let mutator = Mutator::new(&inputs);
        let mut random = StdRng::seed_from_u64(seed);
        (0..200).map(|_| mutator.input(&mut random)).collect()
    }

    #[test]
    fn inputs_follow_from_the_seed() {
        for form in [Form::Bytes, Form::Text, Form::Message, Form::Messages] {
            assert_eq!(inputs(1, form), inputs(1, form), "{form:?}");
            assert_ne!(inputs(1, form), inputs(2, form), "{form:?}");
        }
    }

    #[test]
    fn most_mutated_messages_are_still_messages() {
        let whole = |input: &Vec<u8>| protobuf::split(input).into_iter().all(protobuf::is_plain);
        let count = inputs(1, Form::Messages).iter().filter(|input| whole(input)).count();
        assert!((100..200).contains(&count), "{count} of 200");
    }
}
