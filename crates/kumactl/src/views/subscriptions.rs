//! Subscriptions in an insight: what the connections of one zone or proxy brought, the last one at the end.

use serde_json::Value;

use super::cells::count;

/// Returns the subscriptions in this place.
pub(crate) fn subscriptions<'a>(overview: &'a Value, pointer: &str) -> &'a [Value] {
    overview.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Adds up a counter; large numbers come as texts.
pub(crate) fn sum(subscriptions: &[Value], pointer: &str) -> u64 {
    let counts = subscriptions.iter().filter_map(|subscription| count(subscription.pointer(pointer)?));
    counts.fold(0, u64::saturating_add)
}
