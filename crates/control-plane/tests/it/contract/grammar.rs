//! How citations are written: `docs/contract/README.md` in code.

use super::pieces::comments;

/// How the texts are cited, and their files.
pub(super) const TEXTS: [(&str, &str); 6] = [
    ("kds", "kds"),
    ("rest", "rest-and-cli"),
    ("rest-and-cli", "rest-and-cli"),
    ("tokens", "tokens"),
    ("protobuf", "protobuf"),
    ("decisions", "decisions"),
];

/// One section that is cited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cited {
    pub(super) file: &'static str,
    /// `8.1`, `5` or `Appendix A`; empty for a text that has no sections.
    pub(super) section: String,
    /// What stands in it word for word.
    pub(super) words: Option<String>,
}

/// What was found in a piece of text: where, and a section or what is wrong.
pub(super) type Found = Vec<(usize, Result<Cited, String>)>;

/// The file of a text.
pub(super) fn file_of(name: &str) -> Option<&'static str> {
    TEXTS.iter().find(|(cited, _)| *cited == name).map(|(_, file)| *file)
}

/// Whether sections may be named outside citations: only in the contract itself, which refers to itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Loose {
    /// In this text, which calls its own sections by their bare numbers: `(8.1)`.
    In(&'static str),
    Nowhere,
}

/// Reads what is cited in a piece of text.
pub(super) struct Reader<'a> {
    text: &'a str,
    /// Words and punctuation, with where they begin.
    tokens: Vec<(usize, &'a str)>,
    next: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let start = text.len() - rest.len();
            let is_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            if length > 0 {
                tokens.push((start, rest[..length].trim_end_matches(['.', '-'])));
            } else if !first.is_whitespace() {
                tokens.push((start, &rest[..first.len_utf8()]));
            }
            rest = &rest[length.max(first.len_utf8())..];
        }
        Self { text, tokens, next: 0 }
    }

    /// The token some places ahead; empty behind the last.
    fn ahead(&self, places: usize) -> &'a str {
        self.tokens.get(self.next + places).map_or("", |(_, token)| token)
    }

    fn place(&self) -> usize {
        self.tokens.get(self.next).map_or(self.text.len(), |(start, _)| *start)
    }

    fn take(&mut self) -> &'a str {
        let token = self.ahead(0);
        self.next += 1;
        token
    }

    fn eat(&mut self, wanted: &str) -> bool {
        let is_there = self.ahead(0) == wanted;
        self.next += usize::from(is_there);
        is_there
    }

    /// Whether a section begins some places ahead.
    fn section_ahead(&self, places: usize) -> bool {
        let token = self.ahead(places);
        token == "appendix" || token.starts_with(|c: char| c.is_ascii_digit())
    }

    /// Whether sections follow the name of a text.
    fn sections_ahead(&self, places: usize) -> bool {
        self.section_ahead(places) || (self.ahead(places) == "," && self.ahead(places + 1) == "appendix")
    }

    /// All that is cited, and all that cannot be read.
    pub(super) fn read(mut self, loose: Loose) -> Found {
        let mut found = Vec::new();
        let mut before = "";
        while self.next < self.tokens.len() {
            let place = self.place();
            let token = self.take();
            let said = match token {
                "contract" | "contracts" if self.ahead(0) == ":" => {
                    self.next += 1;
                    if token == "contract" && before == "(" {
                        self.citation()
                    } else {
                        Err("a citation is written `(contract: kds 8.1)`".to_owned())
                    }
                }
                "decision" if self.section_ahead(0) => Err("the text is called `decisions`".to_owned()),
                _ if self.sections_ahead(0) && file_of(token).is_some() => {
                    let mut cited = Vec::new();
                    match loose {
                        Loose::In(_) => self.sections(file_of(token).unwrap_or_default(), &mut cited).map(|()| cited),
                        Loose::Nowhere => Err(format!("a section of `{token}` outside a citation")),
                    }
                }
                _ => match loose {
                    Loose::In(file) if before == "(" && token.contains('.') && is_number(token) => {
                        self.next -= 1;
                        let mut cited = Vec::new();
                        self.sections(file, &mut cited).map(|()| cited)
                    }
                    Loose::In(_) | Loose::Nowhere => Ok(Vec::new()),
                },
            };
            match said {
                Ok(cited) => found.extend(cited.into_iter().map(|cited| (place, Ok(cited)))),
                Err(wrong) => found.push((place, Err(wrong))),
            }
            before = token;
        }
        found
    }

    /// What stands behind the colon.
    fn citation(&mut self) -> Result<Vec<Cited>, String> {
        let mut cited = Vec::new();
        loop {
            let name = self.take();
            let file = file_of(name).ok_or_else(|| format!("`{name}` is no text of the contract"))?;
            if self.sections_ahead(0) {
                self.sections(file, &mut cited)?;
            } else {
                cited.push(Cited { file, section: String::new(), words: None });
            }
            match self.take() {
                ")" => return Ok(cited),
                "," | ";" => {}
                other => return Err(format!("`{other}` in a citation")),
            }
        }
    }

    /// `8.1`, `6.1 and 11.4`, `7.2 to 7.4`, `8.1, "append rule"`, `, appendix A`.
    fn sections(&mut self, file: &'static str, cited: &mut Vec<Cited>) -> Result<(), String> {
        if self.ahead(1) == "appendix" {
            self.eat(",");
        }
        loop {
            let first = self.section()?;
            let last = if self.eat("to") { self.section()? } else { first.clone() };
            for section in range(&first, &last)? {
                cited.push(Cited { file, section, words: None });
            }
            if self.ahead(0) == "," && self.ahead(1) == "\"" {
                self.next += 2;
                let words = self.words()?;
                if let Some(cited) = cited.last_mut() {
                    cited.words = Some(words);
                }
            }
            if !matches!(self.ahead(0), "," | "and") || !self.section_ahead(1) {
                return Ok(());
            }
            self.next += 1;
        }
    }

    fn section(&mut self) -> Result<String, String> {
        match self.take() {
            "appendix" => match self.take() {
                letter if letter.len() == 1 && letter.starts_with(|c: char| c.is_ascii_uppercase()) => {
                    Ok(format!("Appendix {letter}"))
                }
                other => Err(format!("`{other}` is no appendix")),
            },
            number if is_number(number) => Ok(number.to_owned()),
            other => Err(format!("`{other}` is no section")),
        }
    }

    /// What stands before the next quotation mark.
    fn words(&mut self) -> Result<String, String> {
        let start = self.place();
        while self.next < self.tokens.len() {
            let end = self.place();
            if self.take() == "\"" {
                return Ok(self.text[start..end].to_owned());
            }
        }
        Err("words without an end".to_owned())
    }
}

/// All sections of one chapter, or all chapters, from one to another.
fn range(first: &str, last: &str) -> Result<Vec<String>, String> {
    if first == last {
        return Ok(vec![first.to_owned()]);
    }
    let split = |section: &str| {
        let (chapter, number) = section.rsplit_once('.').unwrap_or(("", section));
        number.parse::<u32>().ok().map(|number| (chapter.to_owned(), number))
    };
    match (split(first), split(last)) {
        (Some((chapter, from)), Some((other, to))) if chapter == other && from < to => {
            let name = |number| if chapter.is_empty() { format!("{number}") } else { format!("{chapter}.{number}") };
            Ok((from..=to).map(name).collect())
        }
        _ => Err(format!("`{first} to {last}` is no range")),
    }
}

/// `8` or `8.1`, without leading zeros.
pub(super) fn is_number(text: &str) -> bool {
    let is_part = |part: &str| part.parse::<u32>().is_ok_and(|number| number.to_string() == part);
    text.split('.').count() <= 2 && text.split('.').all(is_part)
}

#[test]
fn citations_are_read() {
    let check = |text: &str, expected: &str| {
        let pieces = comments(text);
        let found = pieces.iter().flat_map(|piece| Reader::new(&piece.text).read(Loose::Nowhere));
        let shown = found.map(|(_, said)| {
            let Cited { file, section, words } = said.unwrap();
            words.map_or_else(|| format!("{file} {section}"), |words| format!("{file} {section} {words:?}"))
        });
        assert_eq!(shown.collect::<Vec<_>>().join(", "), expected, "{text}");
    };
    check("// (contract: kds 8.1)", "kds 8.1");
    check("    /// Why (contract: kds 5).", "kds 5");
    check("//! (contract: kds 6.1 and 11.4, rest-and-cli 3)", "kds 6.1, kds 11.4, rest-and-cli 3");
    check("// (contract: rest 2.4, 2.5, 3; kds 8.1)", "rest-and-cli 2.4, rest-and-cli 2.5, rest-and-cli 3, kds 8.1");
    check("// (contract: kds 7.2 to 7.4)", "kds 7.2, kds 7.3, kds 7.4");
    check("// (contract: rest 1.9; decisions 4 to 6)", "rest-and-cli 1.9, decisions 4, decisions 5, decisions 6");
    check("// (contract: rest-and-cli, appendix A).", "rest-and-cli Appendix A");
    check("// (contract: rest-and-cli appendix A)", "rest-and-cli Appendix A");
    check("// (contract: rest 1.5, protobuf)", "rest-and-cli 1.5, protobuf ");
    check("// (contract: kds 8.1, \"append rule\")", "kds 8.1 \"append rule\"");
    check("/// Why (contract:\n/// kds 8.1, \"zone side\n/// mirror\").", "kds 8.1 \"zone side mirror\"");
    check("//! (contract: kds 4.8,\n//! 5 and 7.4).", "kds 4.8, kds 5, kds 7.4");
    // In two pieces, so that it is no comment of this file.
    check(&["    x(1); //", " (contract: tokens 2.6)"].concat(), "tokens 2.6");
    check("take(rest, 8) // of the contract\nlet kds = 5;", "");
    check("// (contract: kds 8.1)\n// (contract: kds 8.2)", "kds 8.1, kds 8.2");
}

#[test]
fn what_cannot_be_read_fails_with_its_place() {
    let check = |text: &str, expected: &str| {
        let source = format!("fn f() {{}}\n// one line\n// {text}\n");
        let mut faults = Vec::new();
        for piece in comments(&source) {
            for (place, said) in Reader::new(&piece.text).read(Loose::Nowhere) {
                faults.extend(said.err().map(|wrong| format!("{}: {wrong}", piece.line_at(place))));
            }
        }
        assert_eq!(faults.first().map_or("", String::as_str), expected, "{text}");
    };
    check("contract: kds 8.1", "3: a citation is written `(contract: kds 8.1)`");
    check("(contracts: kds 8.1)", "3: a citation is written `(contract: kds 8.1)`");
    check("(zones; contract: kds 8.1)", "3: a citation is written `(contract: kds 8.1)`");
    check("as kds 8.1 says", "3: a section of `kds` outside a citation");
    check("(rest-and-cli, appendix A)", "3: a section of `rest-and-cli` outside a citation");
    check("(decision 16)", "3: the text is called `decisions`");
    check("(contract: nothing 8.1)", "3: `nothing` is no text of the contract");
    check("(contract: kds 8.1.2)", "3: `8.1.2` is no section");
    check("(contract: kds 08.1)", "3: `08.1` is no section");
    check("(contract: rest appendix 7)", "3: `7` is no appendix");
    check("(contract: kds 8.1 or so)", "3: `or` in a citation");
    check("(contract: kds 8.1 to 7.4)", "3: `8.1 to 7.4` is no range");
    check("(contract: kds 7.4 to 7.2)", "3: `7.4 to 7.2` is no range");
    check("(contract: kds 8.1, \"append)", "3: words without an end");
    check("(contract: kds 8.1", "3: `` in a citation");
}
