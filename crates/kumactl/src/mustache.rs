//! The part of Mustache that `kumactl apply --var` needs: variables, escaped or not, sections, and nested names.
//!
//! `{{ x }}` is escaped for HTML, `{{{ x }}}` and `{{& x }}` are not; `{{#x}}…{{/x}}` shows its content if `x` has a
//! value, `{{^x}}…{{/x}}` if it has none; `{{! … }}` says nothing. A name without a value renders nothing, and is told.
//! A value stays a value of the YAML around it ([`place`]).

mod place;

use std::collections::{BTreeMap, BTreeSet};

use place::Misplaced;

/// The values of the names; `a.b` is the name `b` inside `a`.
#[derive(Debug, Default)]
pub(crate) struct Values {
    text: Option<String>,
    inner: BTreeMap<String, Self>,
}

impl Values {
    /// Returns the values of these pairs; the last of several with one name counts.
    pub(crate) fn of(pairs: &[(String, String)]) -> Self {
        let mut values = Self::default();
        for (name, text) in pairs {
            let mut place = &mut values;
            for part in name.split('.') {
                place = place.inner.entry(part.to_owned()).or_default();
            }
            place.text = Some(text.clone());
        }
        values
    }

    fn find(&self, name: &str) -> Option<&Self> {
        name.split('.').try_fold(self, |place, part| place.inner.get(part))
    }

    fn is_something(&self) -> bool {
        !self.inner.is_empty() || self.text.as_ref().is_some_and(|text| !text.is_empty())
    }
}

/// A text with its values put in, and the names that had none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rendered {
    pub(crate) text: String,
    /// Names without a value.
    pub(crate) missing: BTreeSet<String>,
}

/// Why a text cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// A tag that does not end.
    #[error("a tag that begins with `{0}` has no end")]
    OpenTag(&'static str),
    /// A section that does not end, or an end without a section.
    #[error("section `{0}` is not opened and closed in pairs")]
    Section(String),
    /// Partials and changed delimiters.
    #[error("tag `{0}` is not supported")]
    Unsupported(String),
    /// A value of several lines beside other text.
    #[error("the value of `{0}` has several lines and stands beside other text; put its tag alone behind the key")]
    Lines(String),
    /// A value that begins a document.
    #[error("the value of `{0}` begins another document, which no variable may")]
    Document(String),
}

impl TemplateError {
    fn misplaced(name: &str, problem: Misplaced) -> Self {
        match problem {
            Misplaced::Lines => Self::Lines(name.to_owned()),
            Misplaced::Document => Self::Document(name.to_owned()),
        }
    }
}

/// Puts the values into a text.
pub(crate) fn render(template: &str, values: &Values) -> Result<Rendered, TemplateError> {
    let tags = read(template)?;
    let mut rendered = Rendered::default();
    let mut stack = vec![values];
    let mut rest = tags.as_slice();
    write(&mut rest, None, &mut stack, true, &mut rendered)?;
    Ok(rendered)
}

#[derive(Debug)]
enum Piece<'a> {
    Text(&'a str),
    Escaped(&'a str),
    Raw(&'a str),
    Open(&'a str),
    OpenInverted(&'a str),
    Close(&'a str),
}

fn read(template: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        if let Some(inner) = after.strip_prefix('{') {
            let (name, tail) = inner.split_once("}}}").ok_or(TemplateError::OpenTag("{{{"))?;
            pieces.extend([Piece::Text(before), Piece::Raw(name.trim())]);
            rest = tail;
            continue;
        }
        let (tag, tail) = after.split_once("}}").ok_or(TemplateError::OpenTag("{{"))?;
        let tag = tag.trim();
        let mut characters = tag.chars();
        let kind = characters.next();
        let name = characters.as_str().trim();
        let piece = match kind {
            Some('#') => Some(Piece::Open(name)),
            Some('^') => Some(Piece::OpenInverted(name)),
            Some('/') => Some(Piece::Close(name)),
            Some('&') => Some(Piece::Raw(name)),
            Some('!') => None,
            Some('>' | '=') => return Err(TemplateError::Unsupported(tag.to_owned())),
            Some(_) | None => Some(Piece::Escaped(tag)),
        };
        let alone = if matches!(piece, Some(Piece::Escaped(_) | Piece::Raw(_))) { None } else { alone(before, tail) };
        let (before, tail) = alone.unwrap_or((before, tail));
        pieces.push(Piece::Text(before));
        pieces.extend(piece);
        rest = tail;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

/// A line that holds nothing but a tag without output disappears as a whole.
fn alone<'a>(before: &'a str, tail: &'a str) -> Option<(&'a str, &'a str)> {
    let indent = before.trim_end_matches([' ', '\t']);
    let starts_line = indent.is_empty() || indent.ends_with('\n');
    let after = tail.trim_start_matches([' ', '\t']);
    let after = after
        .strip_prefix("\r\n")
        .or_else(|| after.strip_prefix('\n'))
        .or_else(|| after.is_empty().then_some(after))?;
    starts_line.then_some((indent, after))
}

/// Writes pieces up to the end of the section, and moves behind it.
fn write(
    rest: &mut &[Piece<'_>],
    section: Option<&str>,
    stack: &mut Vec<&Values>,
    is_shown: bool,
    rendered: &mut Rendered,
) -> Result<(), TemplateError> {
    while let Some((piece, tail)) = rest.split_first() {
        *rest = tail;
        match piece {
            Piece::Close(name) if section == Some(*name) => return Ok(()),
            Piece::Close(name) => return Err(TemplateError::Section((*name).to_owned())),
            Piece::Open(name) | Piece::OpenInverted(name) => {
                let found = look_up(stack, name).filter(|values| values.is_something());
                let wants_value = matches!(piece, Piece::Open(_));
                if is_shown && found.is_none() && look_up(stack, name).is_none() {
                    rendered.missing.insert((*name).to_owned());
                }
                stack.extend(found);
                write(rest, Some(name), stack, is_shown && found.is_some() == wants_value, rendered)?;
                if found.is_some() {
                    stack.pop();
                }
            }
            Piece::Text(_) | Piece::Escaped(_) | Piece::Raw(_) if !is_shown => {}
            Piece::Text(text) => rendered.text += text,
            Piece::Escaped(name) | Piece::Raw(name) => {
                let escaped = match look_up(stack, name).and_then(|values| values.text.as_deref()) {
                    Some(text) if matches!(piece, Piece::Raw(_)) => Some(text.to_owned()),
                    text => text.map(escape),
                };
                match escaped {
                    Some(text) => {
                        let after = match rest.first() {
                            Some(Piece::Text("")) if rest.len() > 1 => None,
                            Some(Piece::Text(after)) => Some(*after),
                            Some(_) => None,
                            None => Some(""),
                        };
                        let fitted = place::fitted(&text, &rendered.text, after)
                            .map_err(|problem| TemplateError::misplaced(name, problem))?;
                        rendered.text += &fitted;
                    }
                    None => {
                        rendered.missing.insert((*name).to_owned());
                    }
                }
            }
        }
    }
    section.map_or(Ok(()), |name| Err(TemplateError::Section(name.to_owned())))
}

/// Looks the name up in the innermost section first.
fn look_up<'a>(stack: &[&'a Values], name: &str) -> Option<&'a Values> {
    if name == "." {
        return stack.last().copied();
    }
    stack.iter().rev().find_map(|values| values.find(name))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let pairs = [("name", "x1"), ("a.b", "1"), ("html", "<&>"), ("apos", "it's \"so\""), ("empty", "")];
        Values::of(&pairs.map(|(key, value)| (key.to_owned(), value.to_owned())))
    }

    fn check(template: &str, expected: &str) {
        assert_eq!(render(template, &values()).unwrap().text, expected, "{template}");
    }

    #[test]
    fn variables_are_escaped_unless_told_otherwise() {
        check("{{name}} {{ name }}", "x1 x1");
        check("{{ html }}", "&lt;&amp;&gt;");
        check("{{ apos }}", "it&#39;s &#34;so&#34;");
        check("{{{html}}} {{{ html }}} {{&html}} {{& html }}", "<&> <&> <&> <&>");
    }

    #[test]
    fn dots_lead_into_nested_names() {
        check("{{ a.b }} {{#a}}{{b}}{{/a}}", "1 1");
    }

    #[test]
    fn name_without_value_renders_nothing_and_is_told() {
        let rendered = render("[{{ none }}{{{a}}}]", &values()).unwrap();
        assert_eq!(rendered.text, "[]");
        assert_eq!(rendered.missing.iter().collect::<Vec<_>>(), ["a", "none"]);
    }

    #[test]
    fn sections_show_their_content_if_there_is_a_value() {
        check("{{#name}}yes{{/name}}{{^name}}no{{/name}}", "yes");
        check("{{#none}}yes {{x}}{{/none}}{{^none}}no{{/none}}", "no");
        check("{{#empty}}yes{{/empty}}{{^empty}}no{{/empty}}", "no");
        check("{{#name}}{{#none}}x{{/none}}y{{/name}}", "y");
    }

    #[test]
    fn lines_of_sections_and_comments_disappear() {
        check("a\n  {{#name}}\nb\n  {{/name}}\nc\n{{! nothing }}\nd", "a\nb\nc\nd");
    }

    #[test]
    fn values_make_no_keys() {
        let values = Values::of(&[("x".to_owned(), "a\nevil: <b>".to_owned())]);
        let shown = |template| render(template, &values).map(|rendered| rendered.text);
        assert_eq!(shown("n: {{x}}\nm: 1").as_deref(), Ok("n: \"a\\nevil: &lt;b&gt;\"\nm: 1"));
        assert_eq!(shown("n: {{{x}}}").as_deref(), Ok("n: \"a\\nevil: <b>\""));
        assert_eq!(shown("n: {{#x}}{{{x}}}{{/x}}\n").as_deref(), Err(&TemplateError::Lines("x".to_owned())));
        assert_eq!(shown("n: {{x}}{{x}}").as_deref(), Err(&TemplateError::Lines("x".to_owned())));
    }

    #[test]
    fn values_are_not_rendered_again() {
        let values = Values::of(&[("x".to_owned(), "{{ y }}".to_owned())]);
        assert_eq!(render("{{{x}}}", &values).unwrap().text, "{{ y }}");
    }

    #[test]
    fn wrong_templates_are_refused() {
        let check = |template, expected| assert_eq!(render(template, &values()), Err(expected), "{template}");
        check("{{ x", TemplateError::OpenTag("{{"));
        check("{{{ x }}", TemplateError::OpenTag("{{{"));
        check("{{#a}}", TemplateError::Section("a".to_owned()));
        check("{{/a}}", TemplateError::Section("a".to_owned()));
        check("{{#a}}{{/b}}", TemplateError::Section("b".to_owned()));
        check("{{> part }}", TemplateError::Unsupported("> part".to_owned()));
    }
}
