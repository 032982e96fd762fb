//! Query parameters of lists: pages and filters (contract: rest 1.6).

use model::{Labels, document::Violation};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::ApiError;

const DEFAULT_SIZE: usize = 100;
const MAXIMUM_SIZE: i64 = 1000;

/// What stays as it is in a query.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b' ');

/// The parameters of a request, decoded, in the order in which they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn parse(query: Option<&str>) -> Self {
        Self(url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// The first value of a parameter.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn size(&self) -> Result<usize, ApiError> {
        let refused = |reason: String| Err(ApiError::PageSize { reason });
        let text = self.first("size").unwrap_or_default();
        if text.is_empty() {
            return Ok(DEFAULT_SIZE);
        }
        match text.parse::<i64>() {
            Err(_) => refused("invalid format".to_owned()),
            Ok(size) if size <= 0 => refused("must be greater than 0".to_owned()),
            Ok(size) if size > MAXIMUM_SIZE => {
                refused(format!("invalid page size of {size}. Maximum page size is {MAXIMUM_SIZE}"))
            }
            Ok(size) => Ok(usize::try_from(size).unwrap_or(DEFAULT_SIZE)),
        }
    }

    /// Returns where a page starts.
    pub(crate) fn offset(&self, size: usize) -> Result<usize, ApiError> {
        let refused = |reason: String| Err(ApiError::Offset { text: format!("invalid: invalid offset: {reason}") });
        let text = self.first("offset").unwrap_or_default();
        if text.is_empty() {
            return Ok(0);
        }
        let Ok(offset) = text.parse::<i64>() else {
            let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
            let number = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
            let why = if number { "value out of range" } else { "invalid syntax" };
            return refused(format!("strconv.Atoi: parsing {text:?}: {why}"));
        };
        if offset < 0 {
            return refused("must be non-negative".to_owned());
        }
        match usize::try_from(offset) {
            Ok(start) if i64::try_from(size).is_ok_and(|size| offset.checked_add(size).is_some()) => Ok(start),
            _ => refused("exceeds maximum value".to_owned()),
        }
    }

    /// Returns the labels that items must have; `template` is the route as texts name it.
    pub(crate) fn label_filters(&self, template: &str) -> Result<Labels, ApiError> {
        let mut wanted = Labels::new();
        let mut violations = Vec::new();
        for (key, value) in &self.0 {
            let Some(rest) = key.strip_prefix("filter").filter(|rest| rest.starts_with('[')) else { continue };
            let mut refuse = |reason: &str| violations.push(Violation::new(format!("{template}.{key}"), reason));
            match filter_parts(rest).as_deref() {
                Some([field]) => match field.strip_prefix("labels.") {
                    Some(label) => drop(wanted.insert(label.to_owned(), value.clone())),
                    None => refuse("filters are only supported on labels"),
                },
                Some([_, ..]) => refuse("advanced filters are not supported"),
                Some([]) | None => refuse("a filter is written filter[labels.KEY]"),
            }
        }
        if violations.is_empty() { Ok(wanted) } else { Err(ApiError::Invalid { title: TITLE, violations }) }
    }

    /// Returns the link to the page that starts at `offset`: all parameters, sorted, the offset replaced.
    pub(crate) fn link(&self, origin: &str, path: &str, offset: usize) -> String {
        let mut all: Vec<(&str, &str)> = self.0.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        all.retain(|(key, _)| *key != "offset");
        let offset = offset.to_string();
        all.push(("offset", &offset));
        all.sort_by_key(|(key, _)| *key);
        let encode = |text: &str| utf8_percent_encode(text, KEPT).to_string().replace(' ', "+");
        let all: Vec<String> = all.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
        format!("{origin}{path}?{}", all.join("&"))
    }
}

/// The title of what is wrong with a list.
pub(crate) const TITLE: &str = "Could not retrieve resources";

/// Splits `[a][b]` into `a`, `b`; `None` if the brackets do not pair.
fn filter_parts(mut text: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    while !text.is_empty() {
        let (part, rest) = text.strip_prefix('[')?.split_once(']')?;
        parts.push(part);
        text = rest;
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Parameters {
        Parameters::parse(Some(query))
    }

    #[test]
    fn pages_have_1_to_1000_items() {
        let size = |query: &str| parse(query).size().ok();
        assert_eq!(size(""), Some(100));
        assert_eq!(size("size="), Some(100));
        assert_eq!(size("size=1000"), Some(1000));
        assert_eq!(size("size=1&size=3"), Some(1));
        for bad in ["0", "-1", "abc", "1001", "1.5", "99999999999999999999"] {
            assert_eq!(size(&format!("size={bad}")), None, "{bad}");
        }
    }

    #[test]
    fn offsets_do_not_overflow() {
        let offset = |query: &str| parse(query).offset(100).ok();
        assert_eq!(offset(""), Some(0));
        assert_eq!(offset("offset="), Some(0));
        assert_eq!(offset("offset=40"), Some(40));
        for bad in ["-1", "abc", "1.5", "9223372036854775807", "99999999999999999999"] {
            assert_eq!(offset(&format!("offset={bad}")), None, "{bad}");
        }
    }

    #[test]
    fn filters_are_on_labels() {
        let labels = |query: &str| parse(query).label_filters("/x").ok().map(|labels| format!("{labels:?}"));
        assert_eq!(labels("filter[labels.team]=b&filter[labels.a/b]=").as_deref(), Some(r#"{"a/b": "", "team": "b"}"#));
        assert_eq!(labels("filter%5Blabels.team%5D=b").as_deref(), Some(r#"{"team": "b"}"#));
        assert_eq!(labels("filter[labels.t]=b&filter[labels.t]=a").as_deref(), Some(r#"{"t": "a"}"#));
        assert_eq!(labels("filter=x").as_deref(), Some("{}"));
        for bad in
            ["filter[name]=x", "filter[labels.t][eq]=x", "filter[labels.t=x", "filter[]=x", "filter[labels.t]x=x"]
        {
            assert_eq!(labels(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_link_keeps_what_was_asked() {
        let check = |query: &str, expected: &str| {
            assert_eq!(parse(query).link("http://h", "/zones", 1), format!("http://h/zones?{expected}"));
        };
        check("", "offset=1");
        check("size=1&foo=a%26b&name=p", "foo=a%26b&name=p&offset=1&size=1");
        check("filter[labels.team]=b&offset=0&size=1", "filter%5Blabels.team%5D=b&offset=1&size=1");
        check("name=a b", "name=a+b&offset=1");
    }
}
