//! Answers that succeed, and the bytes of JSON.

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header};
use model::document;
use serde::Serialize;
use serde_json::{Value, ser::PrettyFormatter};

pub(crate) fn with_type(status: StatusCode, media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// JSON with one space a level and a newline at the end.
pub(crate) fn json(status: StatusCode, value: &Value) -> Response {
    let mut text = pretty(value);
    text.push('\n');
    with_type(status, "application/json", text)
}

/// JSON of a resource: with HTML characters escaped.
pub(crate) fn resource(value: &Value) -> Response {
    with_type(StatusCode::OK, "application/json", document::to_rest_text(value))
}

/// A list of resources: these are escaped, the link to the next page is not.
pub(crate) fn list(total: usize, items: &[Value], next: Option<String>) -> Response {
    let list = serde_json::json!({"total": total, "items": items});
    let text = document::to_rest_text(&list);
    let open = text.trim_end().trim_end_matches('}').trim_end();
    let next = pretty(&next.map_or(Value::Null, Value::from));
    with_type(StatusCode::OK, "application/json", format!("{open},\n \"next\": {next}\n}}\n"))
}

fn pretty(value: &Value) -> String {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, PrettyFormatter::with_indent(b" "));
    // A `Value` has string keys and writes into memory: there is nothing that can fail.
    let _written = value.serialize(&mut serializer);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn check(response: Response, expected: &str) {
        let body = response.into_body().collect().await.expect("body").to_bytes();
        assert_eq!(String::from_utf8_lossy(&body), expected);
    }

    #[tokio::test]
    async fn resources_are_escaped_and_links_are_not() {
        let items = vec![serde_json::json!({"a": "<&"})];
        let next = Some("http://h/zones?a=1&b=2".to_owned());
        let expected = "{\n \"total\": 1,\n \"items\": [\n  {\n   \"a\": \"\\u003c\\u0026\"\n  }\n ],\n \"next\": \
                        \"http://h/zones?a=1&b=2\"\n}\n";
        check(list(1, &items, next), expected).await;
        check(list(0, &[], None), "{\n \"total\": 0,\n \"items\": [],\n \"next\": null\n}\n").await;
        check(json(StatusCode::OK, &serde_json::json!({"a": "<"})), "{\n \"a\": \"<\"\n}\n").await;
    }
}
