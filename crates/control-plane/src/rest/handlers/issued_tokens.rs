//! `GET /tokens`: the tokens that were handed out, as the ledger knows them.

use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use model::document::Violation;
use serde::Serialize;
use tokens::{Family, NoFamily, TokenFacts};

use super::Call;
use crate::{
    ledger::{Entry, Known, Ledger},
    rest::{
        answer,
        error::ApiError,
        query::{Parameters, TITLE},
    },
};

/// Answers with one page, the oldest first.
pub(super) fn list(call: &Call<'_>) -> Result<Response, ApiError> {
    let ledger = call.ledger()?;
    let parameters = &call.parameters;
    let (size, wanted) = (parameters.size()?, Wanted::of(parameters)?);
    let offset = parameters.offset(size)?;
    let mut found = wanted.find(ledger);
    found.sort_by(|left, right| order(&left.entry).cmp(&order(&right.entry)));
    let (total, after) = (found.len(), offset.saturating_add(size));
    let next = (after < total).then(|| parameters.link(&call.origin, call.path, after));
    let revoked = call.revoked()?;
    let shown = |known| Shown::of(known, &revoked);
    let items = found.iter().skip(offset).take(size).map(shown).collect();
    let page = Page { total, items, next, unreadable: ledger.unreadable() };
    // What is in it was read from JSON.
    Ok(answer::json(StatusCode::OK, &serde_json::to_value(page).unwrap_or_default()))
}

#[derive(Serialize)]
struct Page<'a> {
    total: usize,
    items: Vec<Shown<'a>>,
    next: Option<String>,
    /// Names of entries that nobody can read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<String>,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    entry: &'a Entry,
    revoked: bool,
    seen: bool,
}

impl<'a> Shown<'a> {
    fn of(known: &'a Known, revoked: impl Fn(&TokenFacts<'_>) -> bool) -> Self {
        let entry = &*known.entry;
        Self { entry, revoked: revoked(&entry.facts()), seen: known.seen }
    }
}

/// The oldest come first; of the same moment, in the order of ids.
fn order(entry: &Entry) -> (Timestamp, &str) {
    (entry.issued_at, &entry.id)
}

/// Which tokens are asked for.
struct Wanted {
    family: Option<Named>,
    zone: Option<String>,
    key: Option<u64>,
    without_end: bool,
}

/// What the name of a family means.
enum Named {
    One(Family),
    /// That of dataplane tokens without a mesh.
    OfEveryMesh,
}

impl Wanted {
    fn of(parameters: &Parameters) -> Result<Self, ApiError> {
        let given = |name: &str| parameters.first(name).filter(|text| !text.is_empty());
        let mut wrong = Vec::new();
        let family = match given("family").map(|word| Family::of_word(word, given("mesh"))) {
            None => None,
            Some(Ok(family)) => Some(Named::One(family)),
            Some(Err(NoFamily::WithoutMesh)) => Some(Named::OfEveryMesh),
            Some(Err(problem)) => {
                wrong.push(Violation::new("family", problem.to_string()));
                None
            }
        };
        let key = given("key").and_then(|text| {
            let key = text.parse().ok();
            if key.is_none() {
                wrong.push(Violation::new("key", format!("{text:?} is not the serial number of a key")));
            }
            key
        });
        let without_end = match given("withoutEnd") {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                wrong.push(Violation::new("withoutEnd", format!("should use `true` or `false` instead of {other}")));
                false
            }
        };
        if wrong.is_empty() {
            Ok(Self { family, zone: given("zone").map(str::to_owned), key, without_end })
        } else {
            Err(ApiError::Invalid { title: TITLE, violations: wrong })
        }
    }

    fn find(&self, ledger: &Ledger) -> Vec<Known> {
        let mut found = match &self.zone {
            Some(zone) => ledger.of_zone(zone),
            None => ledger.all(),
        };
        found.retain(|known| self.is_met_by(&known.entry));
        found
    }

    fn is_met_by(&self, entry: &Entry) -> bool {
        let of_family = match &self.family {
            None => true,
            Some(Named::One(family)) => family == entry.family(),
            Some(Named::OfEveryMesh) => matches!(entry.family(), Family::Dataplane { .. }),
        };
        let of_key = self.key.is_none_or(|key| key == entry.key.serial);
        of_family && of_key && (!self.without_end || entry.expires_at.is_none())
    }
}
