//! Reads lists that come in pages.

use serde_json::{Value, json};
use url::Url;

use crate::{
    client::{Ask, CallError, Method},
    session::{Session, Trouble},
};

#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) items: Vec<Value>,
    /// How many there are on all pages.
    pub(crate) total: Value,
    /// The address of the next page, or null.
    pub(crate) next: Value,
    /// Names of what should be in the list and cannot be read.
    pub(crate) unreadable: Value,
}

impl Page {
    fn of(mut value: Value) -> Self {
        let mut take = |name: &str| value.get_mut(name).map(Value::take).unwrap_or_default();
        let items = match take("items") {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        Self { items, total: take("total"), next: take("next"), unreadable: take("unreadable") }
    }

    /// Returns the offset of the next page, if there is one.
    pub(crate) fn next_offset(&self) -> Option<String> {
        let url = Url::parse(self.next.as_str()?).ok()?;
        url.query_pairs().find(|(name, _)| name == "offset").map(|(_, offset)| offset.into_owned())
    }

    /// Returns the page as it is shown to programs.
    pub(crate) fn value(self) -> Value {
        json!({"total": self.total, "items": self.items, "next": self.next})
    }
}

/// Reads one page of resources.
pub(crate) fn one(session: &Session<'_>, route: &str) -> Result<Page, Trouble> {
    session.read(Ask::resource(Method::Get, route)).map(Page::of)
}

/// Reads all pages, each request made by `ask`. Only the offset is taken from the address of the next page: it names
/// the server as others see it.
pub(crate) fn all(session: &Session<'_>, route: &str, ask: fn(&str) -> Ask<'_>) -> Result<Page, Trouble> {
    let mut whole = session.read(ask(route)).map(Page::of)?;
    let mut reached = 0;
    while let Some(offset) = whole.next_offset() {
        let Some(further) = offset.parse::<u64>().ok().filter(|offset| *offset > reached) else {
            return Err(CallError::NotJson(format!(
                "the server's next page begins at {offset:?}, which leads nowhere"
            ))
            .into());
        };
        reached = further;
        let joint = if route.contains('?') { '&' } else { '?' };
        let page = session.read(ask(&format!("{route}{joint}offset={offset}"))).map(Page::of)?;
        whole.items.extend(page.items);
        whole.next = page.next;
    }
    whole.next = Value::Null;
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_of_the_next_page_is_read_from_its_address() {
        let page = |next: Value| Page { next, ..Page::default() };
        let check = |next, expected: Option<&str>| assert_eq!(page(next).next_offset().as_deref(), expected);
        check(json!("http://127.0.0.1:5681/zones?offset=9&size=3"), Some("9"));
        check(json!("http://127.0.0.1:5681/zones"), None);
        check(Value::Null, None);
    }
}
