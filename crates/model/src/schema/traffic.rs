//! Policies about traffic: timeouts, retries, limits, health, faults, routes.

use super::{
    Node, Shape, closed,
    common::{BACKEND, MATCHES, TARGET_REF, TO_REF},
    member, open,
};

pub(super) static TIMEOUT: Shape = closed(&[
    TARGET_REF,
    member("to", Node::List(&Node::Object(&closed(&[TO_REF, member("default", TIMEOUTS)])))),
    member("rules", Node::List(&Node::Object(&closed(&[MATCHES, member("default", TIMEOUTS)])))),
]);
const TIMEOUTS: Node = Node::Object(&closed(&[
    member("connectionTimeout", Node::Span),
    member("idleTimeout", Node::Span),
    member(
        "http",
        Node::Object(&closed(&[
            member("requestTimeout", Node::Span),
            member("streamIdleTimeout", Node::Span),
            member("maxStreamDuration", Node::Span),
            member("maxConnectionDuration", Node::Span),
            member("requestHeadersTimeout", Node::Span),
        ])),
    ),
]));

pub(super) static RETRY: Shape =
    closed(&[TARGET_REF, member("to", Node::List(&Node::Object(&open(&[TO_REF, member("default", RETRIES)]))))]);
const RETRIES: Node = Node::Object(&open(&[
    member("tcp", Node::Object(&open(&[member("maxConnectAttempt", Node::Integer)]))),
    member("http", RETRY_CONF),
    member("grpc", RETRY_CONF),
]));
const RETRY_CONF: Node = Node::Object(&open(&[
    member("numRetries", Node::Integer),
    member("perTryTimeout", Node::Span),
    member("backOff", Node::Object(&open(&[member("baseInterval", Node::Span), member("maxInterval", Node::Span)]))),
    member(
        "rateLimitedBackOff",
        Node::Object(&open(&[member("resetHeaders", Node::List(&Node::Any)), member("maxInterval", Node::Span)])),
    ),
    member("retryOn", Node::List(&Node::Text)),
    member("retriableResponseHeaders", Node::List(&Node::Any)),
    member("retriableRequestHeaders", Node::List(&Node::Any)),
    member("hostSelection", Node::List(&Node::Any)),
    member("hostSelectionMaxAttempts", Node::Integer),
]));

pub(super) static CIRCUIT_BREAKER: Shape = closed(&[
    TARGET_REF,
    member("to", Node::List(&Node::Object(&open(&[TO_REF, member("default", BREAKER)])))),
    member("rules", Node::List(&Node::Object(&open(&[MATCHES, member("default", BREAKER)])))),
]);
const BREAKER: Node = Node::Object(&open(&[
    member(
        "connectionLimits",
        Node::Object(&open(&[
            member("maxConnectionPools", Node::Integer),
            member("maxConnections", Node::Integer),
            member("maxPendingRequests", Node::Integer),
            member("maxRetries", Node::Integer),
            member("maxRequests", Node::Integer),
        ])),
    ),
    member(
        "outlierDetection",
        Node::Object(&open(&[
            member("disabled", Node::Flag),
            member("interval", Node::Span),
            member("baseEjectionTime", Node::Span),
            member("maxEjectionPercent", Node::Integer),
            member("splitExternalAndLocalErrors", Node::Flag),
            member("detectors", Node::Object(&open(&[]))),
            member("healthyPanicThreshold", Node::IntegerOrText),
        ])),
    ),
]));

pub(super) static RATE_LIMIT: Shape = closed(&[
    TARGET_REF,
    member("to", Node::List(&Node::Object(&open(&[TO_REF, member("default", LIMITS)])))),
    member("rules", Node::List(&Node::Object(&open(&[MATCHES, member("default", LIMITS)])))),
]);
const LIMITS: Node = Node::Object(&open(&[member(
    "local",
    Node::Object(&open(&[
        member(
            "http",
            Node::Object(&open(&[
                member("disabled", Node::Flag),
                member("requestRate", RATE),
                member("onRateLimit", Node::Object(&open(&[member("status", Node::Integer)]))),
            ])),
        ),
        member("tcp", Node::Object(&open(&[member("disabled", Node::Flag), member("connectionRate", RATE)]))),
    ])),
)]));
const RATE: Node =
    Node::Object(&open(&[member("num", Node::Integer).required(), member("interval", Node::Span).required()]));

pub(super) static FAULT_INJECTION: Shape = closed(&[
    TARGET_REF,
    member("to", Node::List(&Node::Object(&open(&[TO_REF, member("default", FAULTS)])))),
    member("rules", Node::List(&Node::Object(&open(&[MATCHES, member("default", FAULTS)])))),
]);
const FAULTS: Node = Node::Object(&open(&[member(
    "http",
    Node::List(&Node::Object(&open(&[
        member(
            "abort",
            Node::Object(&open(&[
                member("httpStatus", Node::Integer).required(),
                member("percentage", Node::IntegerOrText).required(),
            ])),
        ),
        member(
            "delay",
            Node::Object(&open(&[
                member("value", Node::Span).required(),
                member("percentage", Node::IntegerOrText).required(),
            ])),
        ),
        member(
            "responseBandwidth",
            Node::Object(&open(&[
                member("limit", Node::Text).required(),
                member("percentage", Node::IntegerOrText).required(),
            ])),
        ),
    ]))),
)]));

pub(super) static HEALTH_CHECK: Shape =
    closed(&[TARGET_REF, member("to", Node::List(&Node::Object(&open(&[TO_REF, member("default", HEALTH)]))))]);
const HEALTH: Node = Node::Object(&open(&[
    member("interval", Node::Span),
    member("timeout", Node::Span),
    member("unhealthyThreshold", Node::Integer),
    member("healthyThreshold", Node::Integer),
    member("initialJitter", Node::Span),
    member("intervalJitter", Node::Span),
    member("intervalJitterPercent", Node::Integer),
    member("healthyPanicThreshold", Node::IntegerOrText),
    member("failTrafficOnPanic", Node::Flag),
    member("eventLogPath", Node::Text),
    member("alwaysLogHealthCheckFailures", Node::Flag),
    member("noTrafficInterval", Node::Span),
    member("tcp", Node::Object(&open(&[]))),
    member("http", Node::Object(&open(&[]))),
    member("grpc", Node::Object(&open(&[]))),
    member("reuseConnection", Node::Flag),
]));

pub(super) static LOAD_BALANCING_STRATEGY: Shape = closed(&[
    TARGET_REF,
    member("to", Node::List(&Node::Object(&open(&[TO_REF, member("default", Node::Object(&open(&[])))])))),
]);

pub(super) static HTTP_ROUTE: Shape = closed(&[
    TARGET_REF,
    member(
        "to",
        Node::List(&Node::Object(&open(&[
            TO_REF,
            member("hostnames", Node::List(&Node::Text)),
            member(
                "rules",
                Node::List(&Node::Object(&open(&[
                    member("matches", Node::List(&Node::Object(&HTTP_MATCH))),
                    member("default", Node::Object(&HTTP_RULE)),
                ]))),
            ),
        ]))),
    ),
]);
static HTTP_MATCH: Shape = open(&[
    member(
        "path",
        Node::Object(&open(&[member("value", Node::Text).required(), member("type", Node::Text).required()])),
    ),
    member("method", Node::Text),
    member("queryParams", Node::List(&Node::Any)),
    member("headers", Node::List(&Node::Any)),
]);
static HTTP_RULE: Shape = open(&[
    member("filters", Node::List(&Node::Object(&open(&[member("type", Node::Text).required()])))),
    member("backendRefs", Node::List(&BACKEND)),
]);

pub(super) static TCP_ROUTE: Shape = closed(&[
    TARGET_REF,
    member(
        "to",
        Node::List(&Node::Object(&open(&[
            TO_REF,
            member(
                "rules",
                Node::List(&Node::Object(&open(&[member(
                    "default",
                    Node::Object(&open(&[member("backendRefs", Node::List(&BACKEND))])),
                )]))),
            ),
        ]))),
    ),
]);
