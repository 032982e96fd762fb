//! What a name, a label and a spec must keep to (contract: rest 1.9, 1.10; kds 8.4). The texts are the peers'.

mod dataplane;
mod names;
mod policies;
mod services;
mod template;

use serde_json::Value;

pub use names::{display_name, label_key, label_value, mesh, meta, name};

use crate::{Kind, Labels, SpecForm};

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
/// The types of members are not looked at: that is the schema's part, and receivers of KDS do without it. A spec that
/// cannot be decoded at all is one violation of `spec`.
pub fn spec(kind: Kind, _name: &str, _mesh: &str, _labels: &Labels, spec: &[u8]) -> Vec<Violation> {
    match kind.spec {
        SpecForm::Json => match serde_json::from_slice::<Value>(spec) {
            Ok(spec) => {
                let mut found = Found::default();
                if kind.policy.is_some() {
                    policies::check(kind, &spec, &mut found);
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
                    dataplane::check(&fields, &mut found);
                }
                found.0
            }
            Err(error) => vec![Violation::new("", error.to_string())],
        },
    }
}

/// Collects violations in the order in which they are found.
#[derive(Default)]
struct Found(Vec<Violation>);

impl Found {
    fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.0.push(Violation::new(field, reason));
    }
}
