//! Tokens: bare on standard output, without a newline, so that they can be put into files and variables as they are.

use std::{collections::BTreeMap, time::Duration};

use jiff::SignedDuration;
use model::{ZoneName, duration};
use serde_json::{Map, Value, json};
use tokens::{Claims, IssueError, Scope};
use uuid::Uuid;

use crate::{
    cli::verbs::{ControlPlaneToken, DataplaneToken, OfflineKey, UserToken, ZONE_SCOPES, ZoneToken},
    client::{Ask, Method},
    csv::{List, Pairs},
    failure::Failure,
    keys,
    output::visible,
    session::Session,
};

const TOKENS_OF_ZONES: &str = "/tokens/zone";
const TOKENS_OF_CONTROL_PLANES: &str = "/tokens/control-plane";
const SCOPE_HINT: &str = "Hint: without --scope the token admits nobody as a zone control plane; add --scope=cp, or use \
                          `kumactl generate control-plane-token`";

/// For what people run into who ask a zone.
const GLOBAL_HINT: &str = "Hint: tokens for zones are made by the global control plane, which holds the signing keys: switch to it \
                           with `kumactl config control-planes switch`; if this is one, add a key with `kumactl generate \
                           signing-key` and `kumactl apply`";

/// A token that a zone control plane shows to the global one.
pub(super) fn control_plane(session: &Session<'_>, flags: &ControlPlaneToken) -> Result<(), Failure> {
    let mut request = Map::new();
    request.insert("zone".to_owned(), zone_name("control plane", &flags.zone)?.as_str().into());
    if let Some(valid_for) = flags.valid_for {
        let valid_for = positive("control plane", valid_for)?;
        request.insert("validFor".to_owned(), text(valid_for).into());
    }
    issue(session, "control plane", TOKENS_OF_CONTROL_PLANES, &Value::Object(request))
}

pub(super) fn zone(session: &Session<'_>, flags: &ZoneToken) -> Result<(), Failure> {
    let names = List::joined(&flags.scope);
    let scope: Option<Vec<Scope>> = names.iter().map(|name| name.parse().ok()).collect();
    let Some(scope) = scope else {
        let wrong: Vec<&String> = names.iter().filter(|name| name.parse::<Scope>().is_err()).collect();
        let wrong = wrong.into_iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        let supported = ZONE_SCOPES.join(" ");
        return Err(Failure::Refused(format!("invalid --scope values: [{wrong}] (supported scopes: [{supported}])")));
    };
    let zone = zone_name("zone", &flags.zone)?;
    let valid_for = positive("zone", flags.valid_for)?;
    if scope.is_empty() {
        session.printer().note(SCOPE_HINT);
    }
    let scope = (!scope.is_empty()).then_some(scope);
    match offline_key(&flags.key)? {
        Some((path, kid)) => {
            sign(session, path, kid, &Claims::Zone { zone: &zone, scope: scope.as_deref() }, valid_for)
        }
        None => {
            let scope = scope.map(|scope| scope.into_iter().map(Scope::as_str).collect::<Vec<_>>());
            let request = json!({"zone": zone.as_str(), "scope": scope, "validFor": text(valid_for)});
            issue(session, "zone", TOKENS_OF_ZONES, &request)
        }
    }
}

pub(super) fn user(session: &Session<'_>, flags: &UserToken) -> Result<(), Failure> {
    let groups = Some(List::joined(&flags.group)).filter(|groups| !groups.is_empty());
    match offline_key(&flags.key)? {
        Some((path, kid)) => {
            let valid_for = positive("user", flags.valid_for)?;
            sign(session, path, kid, &Claims::User { name: &flags.name, groups: groups.as_deref() }, valid_for)
        }
        None => {
            // Zero is left to the server, which says what is wrong with it.
            if flags.valid_for.is_negative() {
                return Err(bad_validity("user"));
            }
            let request = json!({"name": flags.name, "groups": groups, "validFor": duration::format(flags.valid_for)});
            issue(session, "user", "/tokens/user", &request)
        }
    }
}

pub(super) fn dataplane(session: &Session<'_>, flags: &DataplaneToken) -> Result<(), Failure> {
    let proxy_type = flags.proxy_type.as_str();
    if !["", "dataplane", "ingress"].contains(&proxy_type) {
        return Err(Failure::Refused(format!("{proxy_type} is not a valid proxy type")));
    }
    let valid_for = positive("dataplane", flags.valid_for)?;
    let mut tags: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (tag, values) in Pairs::joined(&flags.tag) {
        tags.insert(tag, values.split(',').map(str::to_owned).collect());
    }
    match offline_key(&flags.key)? {
        Some((path, kid)) => {
            let claims = Claims::Dataplane {
                name: &flags.name,
                mesh: &flags.mesh,
                tags: &tags,
                proxy_type,
                workload: &flags.workload,
            };
            sign(session, path, kid, &claims, valid_for)
        }
        None => {
            let request = json!({
                "name": flags.name,
                "mesh": flags.mesh,
                "tags": tags,
                "type": proxy_type,
                "workload": flags.workload,
                "validFor": text(valid_for),
            });
            issue(session, "dataplane", "/tokens/dataplane", &request)
        }
    }
}

fn zone_name(what: &str, zone: &str) -> Result<ZoneName, Failure> {
    ZoneName::parse(zone).map_err(|error| Failure::Refused(format!("failed to generate a {what} token: zone: {error}")))
}

/// Returns the validity; a token that is dead when it is made helps nobody.
fn positive(what: &str, valid_for: SignedDuration) -> Result<Duration, Failure> {
    tokens::validity(valid_for).map_err(|_too_short| bad_validity(what))
}

fn bad_validity(what: &str) -> Failure {
    Failure::Refused(format!("failed to generate a {what} token: You must set a token validFor value"))
}

fn text(valid_for: Duration) -> String {
    duration::format(SignedDuration::try_from(valid_for).unwrap_or(SignedDuration::MAX))
}

/// Returns path and id of the key to sign with here, if there is one.
fn offline_key(key: &OfflineKey) -> Result<Option<(&str, &str)>, Failure> {
    match (key.signing_key_path.as_str(), key.kid.as_str()) {
        ("", "") => Ok(None),
        // The recorded text says it the other way round.
        ("", _) => Err(Failure::refused("--kid cannot be used when --signing-key-path is used")),
        (_, "") => Err(Failure::refused("--kid is required when --signing-key-path is used")),
        (path, kid) => Ok(Some((path, kid))),
    }
}

fn sign(session: &Session<'_>, path: &str, kid: &str, claims: &Claims<'_>, valid_for: Duration) -> Result<(), Failure> {
    let key = keys::read_signing_key(path)?;
    match tokens::sign_offline(&key, kid, claims, valid_for, session.now(), Uuid::new_v4()) {
        Ok(token) => session.printer().data(&token),
        Err(IssueError::BadKeyFile { problem }) => Err(keys::no_signing_key(&problem)),
        Err(error) => Err(Failure::Refused(error.to_string())),
    }
}

fn issue(session: &Session<'_>, what: &str, route: &str, request: &Value) -> Result<(), Failure> {
    let body = request.to_string();
    let tried = format!("failed to generate a {what} token");
    let answer = session.ask(Ask::other(Method::Post, route).with_body(&body));
    let answer = answer.map_err(|trouble| trouble.within(&format!("{tried}: could not execute the request")))?;
    let answer = answer.accept(&[200]).map_err(|error| {
        let is_for_zones = [TOKENS_OF_CONTROL_PLANES, TOKENS_OF_ZONES].contains(&route);
        // A zone has no keys for it, or not even the route.
        if is_for_zones && matches!(error.status(), Some(404 | 405)) {
            session.printer().note(GLOBAL_HINT);
        }
        error.within(&tried)
    })?;
    session.printer().data(&visible::text(&answer.body))
}
