//! Where we are, on purpose, not as recorded.

const OWN_NAME: &str = "product and version are our own";
const OWN_WARNING: &str = "our version; server version and product stand in their places";
const SCOPES: &str = "--scope takes cp, ingress and egress";
const SCOPE_HINT: &str = "a zone token without a scope is hinted at";
const SKIP_VERIFY: &str = "a certificate that is not verified is warned of";
const TOKEN_CHECK: &str = "the token is tested when a control plane is added";

/// Number of the line in `3.0-preview/kumactl.jsonl`, what differs, and why.
pub const DIFFERENCES: &[(usize, &str, &str)] = &[
    (3, "stdout", OWN_NAME),
    (34, "stderr", SKIP_VERIFY),
    (35, "stderr", SKIP_VERIFY),
    (48, "stdout", OWN_NAME),
    (49, "stdout", OWN_NAME),
    (100, "stdout", "`{{{ x }}}` with blanks and `{{& x }}` render their value"),
    (100, "stderr", "a variable without a value is told"),
    (111, "stderr", "the YAML reader has its own words"),
    (144, "stderr", "the list of types has those of 2.x, too"),
    (149, "stderr", SCOPE_HINT),
    (150, "exit", SCOPES),
    (150, "stdout", SCOPES),
    (150, "stderr", SCOPES),
    (151, "exit", SCOPES),
    (151, "stdout", SCOPES),
    (151, "stderr", SCOPES),
    (167, "exit", "generate control-plane-token is ours"),
    (167, "stdout", "generate control-plane-token is ours"),
    (167, "stderr", "generate control-plane-token is ours"),
    (174, "stderr", SCOPE_HINT),
    (179, "key.pem", "an existing key file gets mode 0400"),
    (188, "stdout", OWN_NAME),
    (206, "stderr", SCOPE_HINT),
    (211, "exit", TOKEN_CHECK),
    (211, "stdout", TOKEN_CHECK),
    (211, "stderr", TOKEN_CHECK),
    (213, "stdout", OWN_NAME),
    (247, "stderr", SCOPE_HINT),
    (252, "stderr", OWN_WARNING),
    (254, "stderr", OWN_WARNING),
    (274, "stdout", OWN_NAME),
    (282, "stderr", SCOPE_HINT),
];
