//! Subscriptions in an insight: what the connections of one zone or proxy brought, the last one at the end.

use serde_json::Value;

use super::cells::count;
use crate::output::age;

/// Returns the subscriptions in this place.
pub(crate) fn subscriptions<'a>(overview: &'a Value, pointer: &str) -> &'a [Value] {
    overview.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Returns whether a subscription was opened and not closed.
pub(crate) fn is_open(subscription: &Value) -> bool {
    age::time(subscription.get("connectTime")).is_some() && age::time(subscription.get("disconnectTime")).is_none()
}

/// Adds up a counter; large numbers come as texts.
pub(crate) fn sum(subscriptions: &[Value], pointer: &str) -> u64 {
    let counts = subscriptions.iter().filter_map(|subscription| count(subscription.pointer(pointer)?));
    counts.fold(0, u64::saturating_add)
}
