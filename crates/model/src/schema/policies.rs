//! Policies about what is seen and who may: logs, metrics, traces, TLS, permissions, patches.

use super::{
    Fill, Node, Shape, closed,
    common::{IDENTITY_MATCH, MATCHES, TARGET_REF, TO_REF},
    member, open,
};

pub(super) static ACCESS_LOG: Shape = closed(&[
    TARGET_REF,
    member("to", Node::List(&Node::Object(&open(&[TO_REF, member("default", LOGS)])))),
    member("rules", Node::List(&Node::Object(&open(&[MATCHES, member("default", LOGS)])))),
]);
const LOGS: Node = Node::Object(&open(&[member(
    "backends",
    Node::List(&Node::Object(&open(&[
        member("type", Node::OneOf(&["Tcp", "File", "OpenTelemetry"])).required(),
        member("tcp", Node::Object(&open(&[member("address", Node::Text).required()]))),
        member("file", Node::Object(&open(&[member("path", Node::Text).required()]))),
        member("openTelemetry", Node::Object(&open(&[]))),
    ]))),
)]));

pub(super) static METRIC: Shape = closed(&[
    TARGET_REF,
    member(
        "default",
        Node::Object(&open(&[
            member("sidecar", Node::Object(&open(&[]))),
            member("applications", Node::List(&Node::Object(&open(&[])))),
            member(
                "backends",
                Node::List(&Node::Object(&open(&[
                    member("type", Node::OneOf(&["Prometheus", "OpenTelemetry"])).required(),
                    member(
                        "prometheus",
                        Node::Object(&open(&[
                            member("clientId", Node::Text),
                            member("port", Node::Integer),
                            member("path", Node::Text),
                            member("tls", Node::Object(&open(&[]))),
                        ])),
                    ),
                    member("openTelemetry", Node::Object(&open(&[member("refreshInterval", Node::Span)]))),
                ]))),
            ),
        ])),
    ),
]);

pub(super) static TRACE: Shape = closed(&[
    TARGET_REF,
    member(
        "default",
        Node::Object(&open(&[
            member("backends", Node::List(&Node::Object(&TRACE_BACKEND))),
            member("tags", Node::List(&Node::Object(&open(&[member("name", Node::Text).required()])))),
            member("sampling", Node::Object(&open(&[]))),
        ])),
    ),
]);
static TRACE_BACKEND: Shape = open(&[
    member("type", Node::OneOf(&["Zipkin", "Datadog", "OpenTelemetry"])).required(),
    member(
        "zipkin",
        Node::Object(&open(&[
            member("url", Node::Text).required(),
            member("traceId128bit", Node::Flag).or(Fill::Flag(false)),
            member("apiVersion", Node::Text).or(Fill::Text("httpJson")),
            member("sharedSpanContext", Node::Flag).or(Fill::Flag(true)),
        ])),
    ),
    member("datadog", Node::Object(&open(&[member("url", Node::Text).required()]))),
    member("openTelemetry", Node::Object(&open(&[]))),
]);

pub(super) static TLS: Shape = closed(&[
    TARGET_REF,
    member(
        "rules",
        Node::List(&Node::Object(&open(&[
            MATCHES,
            member(
                "default",
                Node::Object(&open(&[
                    member(
                        "tlsVersion",
                        Node::Object(&open(&[
                            member("min", Node::OneOf(VERSIONS)),
                            member("max", Node::OneOf(VERSIONS)),
                        ])),
                    ),
                    member("tlsCiphers", Node::List(&Node::Text)),
                    member("mode", Node::OneOf(&["Strict", "Permissive"])),
                ])),
            ),
        ]))),
    ),
]);
const VERSIONS: &[&str] = &["TLSAuto", "TLS10", "TLS11", "TLS12", "TLS13"];

pub(super) static TRAFFIC_PERMISSION: Shape = closed(&[
    TARGET_REF,
    member(
        "rules",
        Node::List(&Node::Object(&open(&[member(
            "default",
            Node::Object(&open(&[
                member("deny", Node::List(&IDENTITY_MATCH)),
                member("allowWithShadowDeny", Node::List(&IDENTITY_MATCH)),
                member("allow", Node::List(&IDENTITY_MATCH)),
            ])),
        )]))),
    ),
]);

pub(super) static PASSTHROUGH: Shape = closed(&[
    TARGET_REF,
    member(
        "default",
        Node::Object(&open(&[
            member("passthroughMode", Node::OneOf(&["All", "Matched", "None"])),
            member(
                "appendMatch",
                Node::List(&Node::Object(&open(&[
                    member("type", Node::OneOf(&["Domain", "IP", "CIDR"])).required(),
                    member("value", Node::Text).required(),
                    member("port", Node::Integer),
                    member("protocol", Node::Text),
                ]))),
            ),
        ])),
    ),
]);

pub(super) static PROXY_PATCH: Shape = closed(&[
    TARGET_REF,
    member("default", Node::Object(&open(&[member("appendModifications", Node::List(&Node::Object(&open(&[]))))])))
        .required(),
]);
