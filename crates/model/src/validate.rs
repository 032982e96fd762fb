//! What a name, a label and a spec must keep to (contract: rest 1.9, 1.10; kds 8.4). The texts are the peers'.

mod dataplane;
mod legacy;
mod names;
mod policies;
mod reported;
mod services;
mod template;

use serde_json::Value;

pub use names::{display_name, label_key, label_value, mesh, meta, name};
pub use reported::reported;

use crate::{Kind, Labels, SpecForm, labels};

/// One broken rule: where, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path of the member, `spec.to[0].default`; empty for the document itself.
    pub field: String,
    /// What is wrong.
    pub reason: String,
}

impl Violation {
    /// Returns a violation.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.field.is_empty() { f.write_str(&self.reason) } else { write!(f, "{}: {}", self.field, self.reason) }
    }
}

/// Joins violations as NACKs and kumactl do: `<field>: <reason>; <field>: <reason>`.
pub fn join(violations: &[Violation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Checks what a spec says. Empty means valid.
///
/// The types of members are not looked at: that is the schema's part. A spec that cannot be decoded at all is one
/// violation of `spec`.
pub fn spec(kind: Kind, _name: &str, _mesh: &str, _labels: &Labels, spec: &[u8]) -> Vec<Violation> {
    checked(kind, spec, Source::Document)
}

/// Where a spec comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// A user, who refers to services by labels, as 3.0 does.
    Document,
    /// Another control plane, which may refer to them by name, as 2.14 did.
    Peer,
}

fn checked(kind: Kind, spec: &[u8], source: Source) -> Vec<Violation> {
    match kind.spec {
        SpecForm::Json => match serde_json::from_slice::<Value>(spec) {
            Ok(spec) => {
                let mut found = Found::default();
                if source == Source::Peer {
                    decodable(kind, &spec, &mut found);
                }
                if kind.policy.is_some() {
                    policies::check(kind, &spec, source, &mut found);
                } else {
                    services::check(kind, &spec, &mut found);
                }
                found.0
            }
            Err(error) => vec![Violation::new("spec", format!("is no valid JSON: {error}"))],
        },
        SpecForm::Proto(_) => match crate::proto::spec_to_json(kind, spec) {
            Ok(fields) => {
                let mut found = Found::default();
                if kind == Kind::DATAPLANE {
                    dataplane::check(&fields, source, &mut found);
                } else if kind.policy.is_some() {
                    legacy::check(kind, &fields, &mut found);
                }
                found.0
            }
            Err(error) => vec![Violation::new("", error.to_string())],
        },
    }
}

/// Checks a resource that came over KDS: its spec and, for meshes and services, its display name (contract: kds 8.4).
///
/// Also that other control planes can decode the spec, as it goes on to them as the bytes that came, and one that cannot
/// be decoded ends their stream with every reconnect (contract: kds 4.8).
/// A policy of 2.14 names its services, and its roles depend on that (contract: kds 6.4): it is taken as it is.
pub fn received(kind: Kind, name: &str, _mesh: &str, labels: &Labels, spec: &[u8]) -> Vec<Violation> {
    let display = labels.get(labels::DISPLAY_NAME).map_or(name, String::as_str);
    let named = display_name(kind, display).filter(|_| kind != Kind::ZONE);
    named.into_iter().chain(checked(kind, spec, Source::Peer)).collect()
}

/// Whether real peers can decode a spec, and read in it what stands there.
fn decodable(kind: Kind, spec: &Value, found: &mut Found) {
    let Some(members) = spec.as_object() else {
        found.add("spec", format!("must be an object, not {}", crate::schema::type_name(spec)));
        return;
    };
    let mut sentences = Vec::new();
    crate::schema::check_decodable(crate::schema::spec_of(kind), members, &mut sentences);
    sentences.into_iter().for_each(|sentence| found.add("", sentence));
}

/// Collects violations in the order in which they are found.
#[derive(Default)]
struct Found(Vec<Violation>);

impl Found {
    fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.0.push(Violation::new(field, reason));
    }
}

#[cfg(test)]
mod tests;
