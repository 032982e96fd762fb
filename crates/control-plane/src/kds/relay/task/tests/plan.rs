//! What is said on a call, made by chance.

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderName, HeaderValue};
use rand::{Rng as _, rngs::StdRng};

/// One call, as both peers play it.
pub(super) struct Plan {
    pub(super) number: usize,
    pub(super) request: Said,
    pub(super) response: Said,
    pub(super) by: By,
    /// The client gives up after so many bytes of the answer.
    pub(super) patience: Option<(usize, Reason)>,
    /// The client says all even when the answer is whole.
    pub(super) is_stubborn: bool,
    /// When the server begins to answer.
    pub(super) waits: Waits,
    /// The server reads no more than this of the request.
    pub(super) reads: usize,
    /// The relay thinks for so long, and ends the call after so long.
    pub(super) thinks: usize,
    pub(super) ends: Option<usize>,
}

/// What one side says.
pub(super) struct Said {
    pub(super) head: HeaderMap,
    pub(super) pieces: Vec<usize>,
    pub(super) end: End,
    /// Says no more than there is a window for.
    pub(super) by_window: bool,
    /// Waits so long between pieces, of what it says and of what it hears.
    pub(super) pauses: usize,
}

/// How it ends.
pub(super) enum End {
    /// With the last piece, or with the head.
    Data,
    /// With a piece of nothing.
    Empty,
    Trailers(HeaderMap),
    Reset(Reason),
    /// Not before the other side ends.
    Never,
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Far(usize),
    Here,
    Refusal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    Not,
    ForSomething,
    ForAll,
}

impl Said {
    pub(super) fn length(&self) -> usize {
        self.pieces.iter().sum()
    }

    pub(super) fn ends_with_head(&self) -> bool {
        self.pieces.is_empty() && matches!(self.end, End::Data)
    }

    pub(super) fn trailers(&self) -> Option<&HeaderMap> {
        match &self.end {
            End::Trailers(trailers) => Some(trailers),
            End::Data | End::Empty | End::Reset(_) | End::Never => None,
        }
    }
}

impl Plan {
    /// A call that is nothing but a call.
    pub(super) fn plain(number: usize, far: usize) -> Self {
        let said = || Said { head: HeaderMap::new(), pieces: vec![1], end: End::Data, by_window: false, pauses: 0 };
        Self {
            number,
            request: said(),
            response: said(),
            by: By::Far(far),
            patience: None,
            is_stubborn: true,
            waits: Waits::ForAll,
            reads: usize::MAX,
            thinks: 0,
            ends: None,
        }
    }

    /// Any call; nothing that it says is longer than this.
    pub(super) fn of(number: usize, longest: usize, fars: usize, random: &mut StdRng) -> Self {
        let by = match random.random_range(0..10) {
            0 => By::Here,
            1 => By::Refusal,
            _ => By::Far(random.random_range(0..fars)),
        };
        // What is answered here has to fit into a window, and into what an answer of our own may be.
        let (longest_request, longest_response) =
            if matches!(by, By::Far(_)) { (longest, longest) } else { (longest.min(100), longest.min(10_000)) };
        let mut request = Said::of(longest_request, random);
        let mut response = Said::of(longest_response, random);
        let (is_far, is_rare) = (matches!(by, By::Far(_)), random.random_ratio(1, 6));
        if is_rare && is_far {
            response.end = End::Reset(reason(random));
        }
        let mut waits = [Waits::Not, Waits::ForSomething, Waits::ForAll][random.random_range(0..3)];
        let mut reads = usize::MAX;
        if random.random_ratio(1, 8) && is_far {
            (waits, reads) = (Waits::Not, random.random_range(0..=longest));
        }
        if waits != Waits::ForAll && is_far && random.random_ratio(1, 8) && request.length() > 0 {
            request.end = End::Never;
        }
        let patience = random.random_ratio(1, 5).then(|| (random.random_range(0..=response.length()), reason(random)));
        Self {
            number,
            request,
            response,
            by,
            patience,
            is_stubborn: random.random(),
            waits,
            reads,
            thinks: random.random_range(0..6) * random.random_range(0..6),
            ends: (is_far && random.random_ratio(1, 8)).then(|| random.random_range(0..300)),
        }
    }
}

impl Said {
    fn of(longest: usize, random: &mut StdRng) -> Self {
        let count = random.random_range(0..5);
        let piece = |random: &mut StdRng| match random.random_range(0..5) {
            0 => 0,
            1 => random.random_range(0..=longest.min(300)),
            2 => longest.min(16_384),
            _ => random.random_range(0..=longest),
        };
        let end = match random.random_range(0..4) {
            0 => End::Data,
            1 => End::Empty,
            _ => End::Trailers(trailers(random)),
        };
        Self {
            head: headers(random),
            pieces: (0..count).map(|_| piece(random)).collect(),
            end,
            by_window: random.random(),
            pauses: random.random_range(0..3) * random.random_range(0..4),
        }
    }
}

fn reason(random: &mut StdRng) -> Reason {
    let reasons = [Reason::CANCEL, Reason::INTERNAL_ERROR, Reason::REFUSED_STREAM, Reason::from(0xbeef)];
    reasons[random.random_range(0..reasons.len())]
}

/// Those that go through: who calls is said in the head alone.
fn trailers(random: &mut StdRng) -> HeaderMap {
    let mut trailers = headers(random);
    trailers.remove("authorization");
    trailers
}

/// Headers that come again, that are new, and that need several frames.
fn headers(random: &mut StdRng) -> HeaderMap {
    let names = ["content-type", "grpc-timeout", "user-agent", "authorization", "x-1", "x-2", "grpc-message-type"];
    let mut headers = HeaderMap::new();
    for _ in 0..random.random_range(0..5) {
        let mut value = match random.random_range(0..20) {
            0 => HeaderValue::from_str(&"v".repeat(random.random_range(0..20_000))).unwrap(),
            1..10 => HeaderValue::from(random.random_range(0..20)),
            _ => HeaderValue::from_static("application/grpc"),
        };
        value.set_sensitive(random.random_ratio(1, 5));
        headers.append(HeaderName::from_static(names[random.random_range(0..names.len())]), value);
    }
    if random.random() {
        headers.insert("grpc-status", HeaderValue::from(random.random_range(0..17)));
    }
    headers
}

/// The bytes at one place of what is said on a call in one direction.
pub(super) fn content(seed: usize, at: usize, count: usize) -> Bytes {
    (at..at + count).map(|at| (seed * 101 + at * 7 + (at >> 8) * 13) as u8).collect()
}

/// What a request is made of, and an answer.
pub(super) fn seeds(number: usize) -> (usize, usize) {
    (2 * number, 2 * number + 1)
}
