//! Answers that point to another address. Writes are never repeated there, reads only where the question and all its
//! headers may go as well: the same server, or the same host over TLS.

use url::Url;

/// How many addresses one question may pass through.
pub(super) const MOST: usize = 5;

/// Where else a question may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// The server of the control plane: what is sent to it goes nowhere else.
    SameServer,
    /// Any server, for a question that holds no secret; an answer that came over TLS is not exchanged for one without.
    KeepTls,
}

impl Rule {
    /// Returns whether a question to `from` may be asked at `to`.
    pub(super) fn allows(self, from: &Url, to: &Url) -> bool {
        let is_upgrade = from.scheme() == "http" && to.scheme() == "https";
        match self {
            Self::SameServer => {
                let is_same =
                    from.scheme() == to.scheme() && from.port_or_known_default() == to.port_or_known_default();
                from.host() == to.host() && (is_same || is_upgrade)
            }
            Self::KeepTls => is_upgrade || from.scheme() == to.scheme(),
        }
    }
}

/// Returns where an answer with this status and header `location` points to.
pub(super) fn target(status: u16, location: Option<&str>, from: &Url) -> Option<Url> {
    let mut to = from.join(location.filter(|_| matches!(status, 301 | 302 | 303 | 307 | 308))?).ok()?;
    to.set_fragment(None);
    Some(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: Rule, from: &str, to: &str, expected: bool) {
        assert_eq!(rule.allows(&Url::parse(from).unwrap(), &Url::parse(to).unwrap()), expected, "{from} {to}");
    }

    #[test]
    fn what_is_sent_to_a_server_goes_to_no_other() {
        check(Rule::SameServer, "http://h/a", "http://h/b", true);
        check(Rule::SameServer, "http://h:5681", "https://h:5682", true);
        check(Rule::SameServer, "http://h", "https://h", true);
        check(Rule::SameServer, "http://h", "https://other", false);
        check(Rule::SameServer, "http://h", "http://h:81", false);
        check(Rule::SameServer, "https://h", "http://h", false);
        check(Rule::SameServer, "https://h", "https://h.evil", false);
    }

    #[test]
    fn documents_may_move_and_keep_their_tls() {
        check(Rule::KeepTls, "https://a", "https://b", true);
        check(Rule::KeepTls, "http://a", "https://b", true);
        check(Rule::KeepTls, "http://a", "http://b", true);
        check(Rule::KeepTls, "https://a", "http://b", false);
        check(Rule::KeepTls, "https://a", "file:///etc/passwd", false);
    }

    #[test]
    fn only_redirects_with_an_address_point_anywhere() {
        let from = Url::parse("http://h/a/b").unwrap();
        let shown = |status, location| target(status, location, &from).map(|to| to.to_string());
        assert_eq!(shown(301, Some("/c#x")).as_deref(), Some("http://h/c"));
        assert_eq!(shown(308, Some("https://h2/c")).as_deref(), Some("https://h2/c"));
        assert_eq!([shown(200, Some("/c")), shown(304, Some("/c")), shown(302, None)], [None, None, None]);
    }
}
