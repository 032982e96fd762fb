//! What tokens say: read with suspicion, written in the order that peers write.

use std::{collections::BTreeMap, fmt, str::FromStr};

use jiff::Timestamp;
use model::ZoneName;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::Rejection;

/// What a zone token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Connecting a zone control plane.
    Cp,
    /// Connecting a zone ingress.
    Ingress,
    /// Connecting a zone egress.
    Egress,
}

/// A word that is no scope.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{word:?} is not one of {:?}", Scope::ALL.map(Scope::as_str))]
pub struct UnknownScope {
    /// The word.
    pub word: String,
}

impl Scope {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Cp, Self::Ingress, Self::Egress];

    /// The word in the token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cp => "cp",
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(word: &str) -> Result<Self, UnknownScope> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == word);
        found.ok_or_else(|| UnknownScope { word: word.to_owned() })
    }
}

/// What a token with a `kid` says of its owner.
#[derive(Clone, Copy, Debug)]
pub enum Claims<'a> {
    /// A zone token.
    Zone {
        /// The zone.
        zone: &'a ZoneName,
        /// What it is good for; nothing at all if `None`.
        scope: Option<&'a [Scope]>,
    },
    /// A user token.
    User {
        /// The name of the user.
        name: &'a str,
        /// Their groups.
        groups: Option<&'a [String]>,
    },
    /// A dataplane token. Empty texts and an empty map bind to nothing.
    Dataplane {
        /// The name of the dataplane.
        name: &'a str,
        /// Its mesh, whose key signs.
        mesh: &'a str,
        /// Values that its tags may have.
        tags: &'a BTreeMap<String, Vec<String>>,
        /// Its type.
        proxy_type: &'a str,
        /// Its workload.
        workload: &'a str,
    },
}

impl<'a> Claims<'a> {
    /// The zone that the token is for.
    pub(crate) fn zone(&self) -> Option<&'a str> {
        match *self {
            Self::Zone { zone, .. } => Some(zone.as_str()),
            Self::User { .. } | Self::Dataplane { .. } => None,
        }
    }

    /// The members in the order in which peers write them.
    pub(crate) fn members(&self) -> Map<String, Value> {
        let mut members = Map::new();
        let mut put = |name: &str, value: Value| drop(members.insert(name.to_owned(), value));
        match *self {
            Self::Zone { zone, scope } => {
                put("Zone", zone.as_str().into());
                put("Scope", scope.map(|scope| scope.iter().map(|scope| scope.as_str()).collect::<Vec<_>>()).into());
            }
            Self::User { name, groups } => {
                put("Name", name.into());
                put("Groups", groups.map(<[String]>::to_vec).into());
            }
            Self::Dataplane { name, mesh, tags, proxy_type, workload } => {
                put("Name", name.into());
                put("Mesh", mesh.into());
                put("Tags", tags.iter().map(|(tag, values)| (tag.clone(), Value::from(values.clone()))).collect());
                put("Type", proxy_type.into());
                put("Workload", workload.into());
            }
        }
        members
    }
}

const NOT_A_TIME: &str = "could not parse token: token has invalid claims: exp and nbf must be numbers of seconds";
const ID_NOT_TEXT: &str = "could not parse token: token has invalid claims: jti must be a string";

/// The claims that every kind of token may have.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) not_before: Option<Timestamp>,
    /// What is no time counts as none: it refuses nobody, and a token without it is as old as can be.
    pub(crate) issued_at: Option<Timestamp>,
    pub(crate) id: Option<String>,
}

impl Registered {
    pub(crate) fn read(claims: &Map<String, Value>) -> Result<Self, Rejection> {
        let time = |name: &str, rounded: fn(f64) -> f64| match claims.get(name) {
            None => Ok(None),
            Some(value) => seconds(value, rounded).map(Some).ok_or(Rejection::Malformed { text: NOT_A_TIME }),
        };
        let id = match claims.get("jti") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()).filter(|id| !id.is_empty()),
            Some(_) => return Err(Rejection::Malformed { text: ID_NOT_TEXT }),
        };
        let issued_at = claims.get("iat").and_then(|value| seconds(value, f64::floor));
        // Parts of seconds never make a token good for longer.
        Ok(Self { expires_at: time("exp", f64::floor)?, not_before: time("nbf", f64::ceil)?, issued_at, id })
    }
}

fn seconds(value: &Value, rounded: fn(f64) -> f64) -> Option<Timestamp> {
    let Value::Number(number) = value else { return None };
    let whole = match number.as_i64() {
        Some(whole) => whole,
        None => {
            let whole = rounded(number.as_f64()?);
            // Years 1 to 9999 are within this; the check keeps the conversion exact.
            if whole.abs() > 1e12 {
                return None;
            }
            format!("{whole:.0}").parse().ok()?
        }
    };
    Timestamp::from_second(whole).ok()
}

/// Returns a claim that must be text.
pub(crate) fn text<'a>(
    claims: &'a Map<String, Value>,
    name: &str,
    otherwise: &'static str,
) -> Result<&'a str, Rejection> {
    claims.get(name).and_then(Value::as_str).ok_or(Rejection::Malformed { text: otherwise })
}

/// Returns a claim that must be a list of texts, or is null or not there.
pub(crate) fn texts(
    claims: &Map<String, Value>,
    name: &str,
    otherwise: &'static str,
) -> Result<Option<Vec<String>>, Rejection> {
    let malformed = Rejection::Malformed { text: otherwise };
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) => {
            let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
            texts.map(Some).ok_or(malformed)
        }
        Some(_) => Err(malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scopes_are_three_words() {
        for scope in Scope::ALL {
            assert_eq!((scope.as_str().parse(), scope.to_string().parse()), (Ok(scope), Ok(scope)));
        }
        let error = "CP".parse::<Scope>().unwrap_err();
        assert_eq!(error.to_string(), r#""CP" is not one of ["cp", "ingress", "egress"]"#);
    }

    #[test]
    fn times_are_rounded_to_the_strict_side() {
        let read = |claims: Value| Registered::read(claims.as_object().unwrap());
        let second = |second| Some(Timestamp::from_second(second).unwrap());
        let registered = read(json!({"exp": 10.9, "nbf": 10.1, "iat": 9.9, "jti": ""})).unwrap();
        assert_eq!((registered.expires_at, registered.not_before, registered.id), (second(10), second(11), None));
        assert_eq!(registered.issued_at, second(9));
        let registered = read(json!({"exp": 1.795478834e9})).unwrap();
        assert_eq!((registered.expires_at, registered.not_before), (second(1_795_478_834), None));
        for bad in [json!("10"), json!(null), json!(1e300), json!(i64::MAX), json!(u64::MAX), json!(true), json!([1])] {
            assert!(read(json!({"exp": bad})).is_err(), "{bad}");
            assert!(read(json!({"nbf": bad})).is_err(), "{bad}");
            assert_eq!(read(json!({"iat": bad})).unwrap().issued_at, None, "{bad}");
        }
        assert!(read(json!({"jti": 1})).is_err());
    }

    #[test]
    fn members_stand_in_the_order_of_peers() {
        let check = |claims: Claims<'_>, expected: &str| {
            assert_eq!(Value::Object(claims.members()).to_string(), expected);
        };
        let zone = ZoneName::parse("east").unwrap();
        check(Claims::Zone { zone: &zone, scope: Some(&[Scope::Cp]) }, r#"{"Zone":"east","Scope":["cp"]}"#);
        check(Claims::Zone { zone: &zone, scope: Some(&[]) }, r#"{"Zone":"east","Scope":[]}"#);
        check(Claims::Zone { zone: &zone, scope: None }, r#"{"Zone":"east","Scope":null}"#);
        let groups = ["dev".to_owned(), "ops".to_owned()];
        check(Claims::User { name: "john", groups: Some(&groups) }, r#"{"Name":"john","Groups":["dev","ops"]}"#);
        check(Claims::User { name: "solo", groups: None }, r#"{"Name":"solo","Groups":null}"#);
        let tags = BTreeMap::from([("kuma.io/service".to_owned(), vec!["api".to_owned(), "web".to_owned()])]);
        check(
            Claims::Dataplane { name: "dp-1", mesh: "default", tags: &tags, proxy_type: "", workload: "" },
            r#"{"Name":"dp-1","Mesh":"default","Tags":{"kuma.io/service":["api","web"]},"Type":"","Workload":""}"#,
        );
    }
}
