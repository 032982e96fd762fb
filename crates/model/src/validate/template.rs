//! The syntax of host name templates, as far as a control plane must refuse what it could never render.

/// Checks that actions are closed and that functions are known. The reason begins with the line.
pub(super) fn check(text: &str) -> Result<(), String> {
    let mut rest = text;
    let mut line = 1;
    while let Some(start) = rest.find("{{") {
        let (before, action) = rest.split_at(start);
        line += before.matches('\n').count();
        let action = action.get(2..).unwrap_or_default();
        let Some(end) = close(action) else {
            return Err(format!("{line}: unclosed action"));
        };
        let (inside, after) = action.split_at(end);
        function(inside, line)?;
        line += inside.matches('\n').count();
        rest = after.get(2..).unwrap_or_default();
    }
    Ok(())
}

/// Where the action ends; quotes may hold the mark.
fn close(action: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (index, c) in action.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '`' => quote = Some(c),
            None if action.get(index..).is_some_and(|rest| rest.starts_with("}}")) => return Some(index),
            None => {}
        }
    }
    None
}

fn function(action: &str, line: usize) -> Result<(), String> {
    let action = action.trim().trim_matches('-').trim();
    let word: String = action.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    // Go's own functions and keywords, and the one of host name generators.
    const KNOWN: [&str; 30] = [
        "label", "and", "or", "not", "len", "index", "slice", "html", "js", "call", "print", "printf", "println",
        "urlquery", "eq", "ne", "lt", "le", "gt", "ge", "if", "else", "end", "range", "with", "define", "template",
        "block", "break", "continue",
    ];
    if action.is_empty() {
        return Err(format!("{line}: missing value for command"));
    }
    if word.chars().next().is_some_and(char::is_alphabetic)
        && !KNOWN.contains(&word.as_str())
        && !matches!(word.as_str(), "true" | "false" | "nil")
    {
        return Err(format!("{line}: function {word:?} not defined"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, expected: &str) {
        assert_eq!(check(text), Err(expected.to_owned()), "{text}");
    }

    #[test]
    fn actions_are_closed_and_functions_known() {
        for good in [
            "{{ .DisplayName }}.svc.mesh.local",
            "plain",
            "",
            "{{ label \"statefulset.kubernetes.io/pod-name\" }}.{{ .Namespace }}.svc.{{ .Zone }}.mesh.local",
            "{{- label `}}` -}}",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        refused("{{ .Nope", "1: unclosed action");
        refused("a\n{{ .Nope", "2: unclosed action");
        refused("{{ \"}}\" ", "1: unclosed action");
        refused("{{ nope \"x\" }}", "1: function \"nope\" not defined");
        refused("{{ }}", "1: missing value for command");
    }
}
