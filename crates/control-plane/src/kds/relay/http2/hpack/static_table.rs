//! The static table (RFC 7541, appendix A).

/// Names and values, from index 1 on.
#[rustfmt::skip]
pub(super) const ENTRIES: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""),
    ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""),
    ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""),
    ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""),
    ("www-authenticate", ""),
];

/// The index of a field as a whole, or of its name alone.
pub(super) enum Found {
    Field(usize),
    Name(usize),
}

/// Looks for a field that gRPC says; others are said without an index.
pub(super) fn find(name: &[u8], value: &[u8]) -> Option<Found> {
    Some(match (name, value) {
        (b":method", b"POST") => Found::Field(3),
        (b":scheme", b"http") => Found::Field(6),
        (b":scheme", b"https") => Found::Field(7),
        (b":status", b"200") => Found::Field(8),
        (b":authority", _) => Found::Name(1),
        (b":method", _) => Found::Name(2),
        (b":path", _) => Found::Name(4),
        (b":status", _) => Found::Name(8),
        (b"accept-encoding", _) => Found::Name(16),
        (b"authorization", _) => Found::Name(23),
        (b"content-type", _) => Found::Name(31),
        (b"date", _) => Found::Name(33),
        (b"server", _) => Found::Name(54),
        (b"user-agent", _) => Found::Name(58),
        _ => return None,
    })
}
