//! Destinations, host names, identities: kinds that are no policies.

use super::{Fill, Node, Shape, closed, common::MATCH_LABELS, member, open};

pub(super) static SERVICE: Shape = open(&[
    member("state", Node::OneOf(&["Available", "Unavailable"])).or(Fill::Text("Unavailable")),
    member(
        "selector",
        // `dataplaneTags` of 2.x is gone: peers drop it.
        Node::Object(&closed(&[
            member("dataplaneRef", Node::Object(&open(&[member("name", Node::Text)]))),
            member("dataplaneLabels", MATCH_LABELS),
        ])),
    ),
    member(
        "ports",
        Node::List(&Node::Object(&open(&[
            member("name", Node::Text),
            member("port", Node::Integer).required(),
            member("targetPort", Node::IntegerOrText),
            member("appProtocol", Node::Text),
        ]))),
    ),
    member("identities", Node::List(&Node::Object(&open(&[member("type", Node::Text), member("value", Node::Text)])))),
]);

pub(super) static MULTI_ZONE_SERVICE: Shape = open(&[
    member("selector", Node::Object(&open(&[member("meshService", MATCH_LABELS)]))).required(),
    member(
        "ports",
        Node::List(&Node::Object(&open(&[
            member("name", Node::Text),
            member("port", Node::Integer).required(),
            member("appProtocol", Node::Text),
        ]))),
    )
    .required(),
]);

pub(super) static EXTERNAL_SERVICE: Shape = open(&[
    member(
        "match",
        Node::Object(&open(&[
            member("type", Node::OneOf(&["HostnameGenerator"])),
            member("port", Node::Integer).required(),
            member("protocol", Node::Text),
        ])),
    )
    .required(),
    member("extension", Node::Object(&open(&[]))),
    member(
        "endpoints",
        Node::List(&Node::Object(&open(&[member("address", Node::Text).required(), member("port", Node::Integer)]))),
    ),
    member(
        "tls",
        Node::Object(&open(&[
            member("enabled", Node::Flag),
            member("version", Node::Object(&open(&[]))),
            member("allowRenegotiation", Node::Flag).or(Fill::Flag(false)),
            member(
                "verification",
                Node::Object(&open(&[
                    member("mode", Node::OneOf(&["SkipSAN", "SkipCA", "Secured", "SkipAll"])).or(Fill::Text("Secured")),
                    member("serverName", Node::Text),
                    member(
                        "subjectAltNames",
                        Node::List(&Node::Object(&open(&[
                            member("type", Node::OneOf(&["Exact", "Prefix"])),
                            member("value", Node::Text),
                        ]))),
                    ),
                ])),
            ),
        ])),
    ),
]);

pub(super) static HOSTNAME_GENERATOR: Shape = open(&[
    member(
        "selector",
        Node::Object(&open(&[
            member("meshService", MATCH_LABELS),
            member("meshExternalService", MATCH_LABELS),
            member("meshMultiZoneService", MATCH_LABELS),
        ])),
    ),
    member("template", Node::Text),
]);

pub(super) static IDENTITY: Shape = open(&[
    member("selector", Node::Object(&open(&[member("dataplane", MATCH_LABELS)]))),
    member("spiffeID", Node::Object(&open(&[member("trustDomain", Node::Text), member("path", Node::Text)]))),
    member("provider", Node::Object(&PROVIDER)),
]);
static PROVIDER: Shape = open(&[
    member("type", Node::Text),
    member(
        "bundled",
        Node::Object(&open(&[
            member("meshTrustCreation", Node::OneOf(&["Enabled", "Disabled"])),
            member("insecureAllowSelfSigned", Node::Flag),
            member("autogenerate", Node::Object(&open(&[member("enabled", Node::Flag)]))),
            member("certificateParameters", Node::Object(&open(&[member("expiry", Node::Span)]))),
        ])),
    ),
]);

pub(super) static TRUST: Shape = open(&[
    member("trustDomain", Node::Text).required(),
    member(
        "caBundles",
        Node::List(&Node::Object(&open(&[
            member("type", Node::OneOf(&["Pem"])).required(),
            member("pem", Node::Object(&open(&[member("value", Node::Text).required()]))),
        ]))),
    )
    .required(),
]);

pub(super) static OPEN_TELEMETRY_BACKEND: Shape = open(&[
    member("endpoint", Node::Object(&open(&[member("address", Node::Text), member("port", Node::Integer)]))),
    member("protocol", Node::Text),
]);

pub(super) static ZONE_ADDRESS: Shape = open(&[member("address", Node::Text), member("port", Node::Integer)]);

pub(super) static WORKLOAD: Shape = open(&[]);
