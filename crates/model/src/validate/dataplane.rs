//! Rules of Dataplane.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::{Found, Source};

pub(super) fn check(fields: &Map<String, Value>, source: Source, found: &mut Found) {
    let Some(networking) = fields.get("networking") else {
        found.add("networking", "must be defined");
        return;
    };
    if !is_address(networking["address"].as_str().unwrap_or_default()) {
        found.add("networking.address", "address has to be valid IP address or domain name");
    }
    for (index, inbound) in networking["inbound"].as_array().into_iter().flatten().enumerate() {
        if !inbound["port"].as_u64().is_some_and(|port| (1..=65535).contains(&port)) {
            found.add(format!("networking.inbound[{index}].port"), "port must be in the range [1, 65535]");
        }
    }
    // Proxies of 2.x may name their destination by tags, which 3.0 does not know.
    if source == Source::Document {
        for (index, outbound) in networking["outbound"].as_array().into_iter().flatten().enumerate() {
            if !outbound["backendRef"].is_object() {
                found.add(format!("networking.outbound[{index}].backendRef"), "must be defined");
            }
        }
    }
}

fn is_address(text: &str) -> bool {
    let name = |text: &str| {
        text.len() <= 253
            && text.split('.').all(|part| {
                let letter = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
                part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
                    && letter(part.chars().next())
                    && letter(part.chars().next_back())
            })
    };
    text.parse::<IpAddr>().is_ok() || name(text)
}
