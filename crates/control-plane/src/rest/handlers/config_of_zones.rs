//! The configuration of zones, in what is shown of their connections.
//!
//! A zone reports its configuration when it connects, and global keeps it in the zone's insight. It says as much as the
//! configuration of global itself does, so the same rule guards both: `access.static.controlPlaneMetadata`.

use model::Kind;
use serde_json::{Map, Value};

use super::Call;

/// Takes out what the caller may not see of an insight: all but the configuration stays.
pub(super) fn hide(call: &Call<'_>, kind: Kind, insight: &mut Map<String, Value>) {
    if kind == Kind::ZONE_INSIGHT && call.permit.metadata().is_err() {
        take_out(insight);
    }
}

/// As [`hide`], for a resource as it is shown: its spec is in `spec`, or beside its name.
pub(super) fn hide_in(call: &Call<'_>, kind: Kind, mut shown: Value) -> Value {
    if let Some(fields) = shown.as_object_mut() {
        hide(call, kind, fields);
        if let Some(spec) = fields.get_mut("spec").and_then(Value::as_object_mut) {
            hide(call, kind, spec);
        }
    }
    shown
}

fn take_out(insight: &mut Map<String, Value>) {
    let subscriptions = insight.get_mut("subscriptions").and_then(Value::as_array_mut);
    for subscription in subscriptions.into_iter().flatten().filter_map(Value::as_object_mut) {
        subscription.remove("config");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_configuration_goes_and_the_rest_stays() {
        let mut insight = json!({"subscriptions": [{"id": "1", "config": "{}"}, {"id": "2"}]});
        take_out(insight.as_object_mut().unwrap());
        assert_eq!(insight, json!({"subscriptions": [{"id": "1"}, {"id": "2"}]}));
    }
}
