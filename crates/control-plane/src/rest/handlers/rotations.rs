//! Rotations of signing keys over HTTP: where they stand, and steps.

use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokens::{
    Algorithm, Family,
    rotation::{Blocker, Command, Position, Status},
};

use super::Call;
use crate::{
    rest::{
        answer,
        error::ApiError,
        routes::{Matched, RotationStep},
    },
    rotation::{Made, Rotations, Wish},
};

/// The longest name of a step, in bytes.
const LONGEST_ID: usize = 64;

/// `GET /rotations`
pub(super) async fn list(call: &Call<'_>) -> Result<Response, ApiError> {
    let statuses = rotations(call)?.statuses(&call.permit).await?;
    Ok(answer::json(StatusCode::OK, &json!({"items": value(&statuses)})))
}

/// `GET /rotations/{family}`
pub(super) async fn get(call: &Call<'_>, matched: &Matched<'_>) -> Result<Response, ApiError> {
    let status = rotations(call)?.status(&call.permit, &family(call, matched)?).await?;
    Ok(answer::json(StatusCode::OK, &value(&status)))
}

/// What a step is asked for with.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct StepRequest {
    id: Option<String>,
    expect: Option<Position>,
    force: bool,
    dry_run: bool,
    automatic: bool,
    algorithm: Option<String>,
}

/// What is said of a step that was made, or would be.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StepAnswer {
    #[serde(flatten)]
    status: Status,
    cut_off: Vec<Blocker>,
    dry_run: bool,
}

/// `POST /rotations/{family}/{step}`
pub(super) async fn step(call: &Call<'_>, matched: &Matched<'_>, step: RotationStep) -> Result<Response, ApiError> {
    let family = family(call, matched)?;
    let request = if call.body.is_empty() { Ok(StepRequest::default()) } else { serde_json::from_slice(&call.body) };
    let request = request.map_err(|problem| bad(format!("the step cannot be read: {problem}")))?;
    let wish = wish(request, step)?;
    let dry_run = wish.dry_run;
    let Made { status, cut_off } = rotations(call)?.make(&call.permit, &family, wish).await?;
    Ok(answer::json(StatusCode::OK, &value(&StepAnswer { status, cut_off, dry_run })))
}

fn wish(request: StepRequest, step: RotationStep) -> Result<Wish, ApiError> {
    let StepRequest { id, expect, force, dry_run, automatic, algorithm } = request;
    if id.as_ref().is_some_and(|id| id.is_empty() || id.len() > LONGEST_ID) {
        return Err(bad(format!("`id` must have 1 to {LONGEST_ID} bytes")));
    }
    let command = match step {
        RotationStep::Start => {
            let algorithm = algorithm.map(|word| word.parse::<Algorithm>()).transpose();
            Command::Start { automatic, algorithm: algorithm.map_err(|unknown| bad(unknown.to_string()))? }
        }
        RotationStep::Advance | RotationStep::Rollback if automatic || algorithm.is_some() => {
            return Err(bad("`automatic` and `algorithm` are said when a rotation is begun".to_owned()));
        }
        RotationStep::Advance => Command::Advance,
        RotationStep::Rollback => Command::Rollback,
    };
    // Without it a step that is sent twice would be two.
    let begins = matches!(command, Command::Start { .. });
    if expect.is_none() && !begins && !dry_run {
        return Err(bad(EXPECT.to_owned()));
    }
    Ok(Wish { command, id, expect, force, dry_run })
}

const EXPECT: &str =
    "a step says where it expects the rotation: `expect` with `phase`, `from` and `to` as the status has them";

fn rotations<'a>(call: &'a Call<'_>) -> Result<&'a Rotations, ApiError> {
    call.handles.rotations.as_ref().ok_or(ApiError::NotImplemented { what: "rotating keys" })
}

fn family(call: &Call<'_>, matched: &Matched<'_>) -> Result<Family, ApiError> {
    let mesh = call.parameters.first("mesh").filter(|mesh| !mesh.is_empty());
    Family::of_word(matched.parameter("family"), mesh).map_err(|problem| bad(problem.to_string()))
}

fn bad(text: String) -> ApiError {
    ApiError::BadRequest { text }
}

/// What is told is numbers, texts and lists of them, which can always be written.
fn value(told: &impl Serialize) -> Value {
    serde_json::to_value(told).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(step: RotationStep, body: &str, expected: Result<Command, &str>) {
        let read: StepRequest = serde_json::from_str(body).unwrap();
        match (wish(read, step), expected) {
            (Ok(wish), Ok(command)) => assert_eq!(wish.command, command),
            (Err(ApiError::BadRequest { text }), Err(part)) => assert!(text.contains(part), "{text}"),
            (found, expected) => panic!("{found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn a_step_says_what_it_is_and_what_it_expects() {
        use RotationStep::{Advance, Rollback, Start};
        let started = |automatic, algorithm| Ok(Command::Start { automatic, algorithm });
        check(Start, "{}", started(false, None));
        check(Start, r#"{"automatic":true,"algorithm":"ES256"}"#, started(true, Some(Algorithm::Es256)));
        check(Start, r#"{"algorithm":"es256"}"#, Err("is not one of"));
        let expect = r#"{"expect":{"phase":"signing","from":1,"to":2}}"#;
        check(Advance, expect, Ok(Command::Advance));
        check(Rollback, expect, Ok(Command::Rollback));
        for step in [Advance, Rollback] {
            check(step, "{}", Err("where it expects the rotation"));
            check(step, r#"{"automatic":true}"#, Err("when a rotation is begun"));
        }
        check(Advance, r#"{"dryRun":true}"#, Ok(Command::Advance));
        check(Start, r#"{"id":""}"#, Err("1 to 64 bytes"));
        check(Start, &format!(r#"{{"id":"{}"}}"#, "x".repeat(65)), Err("1 to 64 bytes"));
    }
}
