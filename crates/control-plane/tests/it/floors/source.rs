//! What a file of Rust takes from where: its `use` trees and the paths in its code, without comments, texts and tests.

/// What one file says.
#[derive(Default)]
pub(super) struct Source {
    /// Names that a `use` brings in.
    pub(super) imports: Vec<Import>,
    /// Paths in the code.
    pub(super) paths: Vec<Reference>,
    /// Modules that exist in tests only.
    pub(super) tests: Vec<String>,
    /// Modules with a body in this file, as paths below it.
    pub(super) inline: Vec<Vec<String>>,
}

/// One name of a `use` tree; a glob has the name `*`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) name: String,
    pub(super) from: Reference,
}

/// A path, and the module of the file (below the file's own) that it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) inside: Vec<String>,
    pub(super) path: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Path,
    Mark(char),
}

impl Token {
    fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(own) if own == word)
    }

    fn opens(&self) -> bool {
        matches!(self, Self::Mark('(' | '[' | '{'))
    }

    fn closes(&self) -> bool {
        matches!(self, Self::Mark(')' | ']' | '}'))
    }
}

impl Source {
    /// Reads a file.
    pub(super) fn read(text: &str) -> Self {
        let tokens = tokens(text);
        let mut reader = Reader { tokens: &tokens, at: 0, depth: 0, inside: Vec::new(), source: Self::default() };
        while reader.at < tokens.len() {
            reader.step();
        }
        reader.source
    }
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    /// Modules with a body that are open here, with the depth of their brace.
    inside: Vec<(String, usize)>,
    source: Source,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead)
    }

    fn word(&self, ahead: usize) -> Option<String> {
        match self.peek(ahead) {
            Some(Token::Word(word)) => Some(word.clone()),
            _ => None,
        }
    }

    fn follows(&self, ahead: usize, token: &Token) -> bool {
        self.peek(ahead) == Some(token)
    }

    fn step(&mut self) {
        match &self.tokens[self.at] {
            Token::Mark('#') if self.follows(1, &Token::Mark('[')) => {
                if self.attribute() {
                    self.skip_item();
                }
            }
            Token::Word(word) if word == "use" && !self.follows(1, &Token::Mark('<')) => {
                self.at += 1;
                self.tree(Vec::new());
            }
            Token::Word(word) if word == "mod" && self.follows(2, &Token::Mark('{')) => {
                let name = self.word(1).unwrap_or_default();
                self.inside.push((name, self.depth));
                self.source.inline.push(self.module());
                self.depth += 1;
                self.at += 3;
            }
            Token::Word(_) if self.follows(1, &Token::Path) => self.path(),
            token => {
                if token.opens() {
                    self.depth += 1;
                } else if token.closes() {
                    self.depth = self.depth.saturating_sub(1);
                    if self.inside.last().is_some_and(|(_, depth)| *depth == self.depth) {
                        self.inside.pop();
                    }
                }
                self.at += 1;
            }
        }
    }

    fn module(&self) -> Vec<String> {
        self.inside.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Passes an attribute; says whether what follows exists in tests only.
    fn attribute(&mut self) -> bool {
        let start = self.at + 2;
        self.at += 1;
        self.pass_group();
        let words = &self.tokens[start..self.at - 1];
        matches!(words, [cfg, Token::Mark('('), test, Token::Mark(')')] if cfg.is("cfg") && test.is("test"))
    }

    /// Passes what is between an opening mark, which is next, and its closing one.
    fn pass_group(&mut self) {
        let mut depth = 0;
        while let Some(token) = self.peek(0) {
            depth += usize::from(token.opens());
            depth -= usize::from(token.closes());
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    /// Passes an item, a field or a statement that exists in tests only.
    fn skip_item(&mut self) {
        const LISTED: [&str; 3] = ["use", "let", "static"];
        while self.follows(0, &Token::Mark('#')) && self.follows(1, &Token::Mark('[')) {
            self.attribute();
        }
        let start = self.at;
        let mut ends_with_brace = true;
        let mut is_item = false;
        while let Some(token) = self.peek(0).cloned() {
            match &token {
                Token::Word(word) => {
                    is_item |= self.at == start || ["fn", "mod", "impl", "struct", "enum"].contains(&word.as_str());
                    ends_with_brace &= !LISTED.contains(&word.as_str());
                    if word == "mod" && self.follows(2, &Token::Mark(';')) {
                        let mut path = self.module();
                        path.extend(self.word(1));
                        self.source.tests.push(path.join("::"));
                    }
                    is_item &= !(self.at == start && self.follows(1, &Token::Mark(':')));
                    self.at += 1;
                }
                Token::Mark(';') => return self.at += 1,
                Token::Mark(',') if !is_item => return self.at += 1,
                _ if token.opens() => {
                    self.pass_group();
                    if token == Token::Mark('{') && ends_with_brace {
                        return;
                    }
                }
                _ if token.closes() => return,
                _ => self.at += 1,
            }
        }
    }

    /// Reads a `use` tree, or a branch of one, whose path so far is given.
    fn tree(&mut self, mut path: Vec<String>) {
        loop {
            match self.peek(0).cloned() {
                Some(Token::Word(word)) if word == "as" => {
                    let name = self.word(1).unwrap_or_default();
                    self.at += 2;
                    return self.import(name, path);
                }
                Some(Token::Word(word)) => {
                    path.push(word);
                    self.at += 1;
                }
                Some(Token::Path) => self.at += 1,
                Some(Token::Mark('*')) => {
                    self.at += 1;
                    return self.import("*".to_owned(), path);
                }
                Some(Token::Mark('{')) => {
                    self.at += 1;
                    while self.peek(0).is_some_and(|token| !token.closes()) {
                        self.tree(path.clone());
                        self.at += usize::from(self.follows(0, &Token::Mark(',')));
                    }
                    self.at += 1;
                    return;
                }
                _ => {
                    if path.len() > 1 && path.last().is_some_and(|word| word == "self") {
                        path.pop();
                    }
                    let name = path.last().cloned().unwrap_or_default();
                    return self.import(name, path);
                }
            }
        }
    }

    fn import(&mut self, name: String, path: Vec<String>) {
        let from = Reference { inside: self.module(), path };
        self.source.imports.push(Import { name, from });
    }

    /// Reads a path in the code. The module of `pub(in path)` is nothing that is used.
    fn path(&mut self) {
        let before = |back: usize| self.at.checked_sub(back).and_then(|at| self.tokens.get(at));
        let names_a_scope =
            before(1).is_some_and(|token| token.is("in")) && before(3).is_some_and(|token| token.is("pub"));
        let goes_on = before(1) == Some(&Token::Path);
        let mut path: Vec<String> = self.word(0).into_iter().collect();
        self.at += 1;
        while self.follows(0, &Token::Path) {
            let Some(word) = self.word(1) else { break };
            path.push(word);
            self.at += 2;
        }
        if !names_a_scope && !goes_on {
            self.source.paths.push(Reference { inside: self.module(), path });
        }
    }
}

/// Takes a text apart, without its comments, texts, characters and lifetimes.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    let mut tokens = Vec::new();
    let mut index = 0;
    while index < chars.len() {
        match at(index) {
            '/' if at(index + 1) == '/' => index += line(&chars[index..]),
            '/' if at(index + 1) == '*' => index += comment(&chars[index..]),
            '"' => index += quoted(&chars[index..]),
            '\'' if at(index + 1) == '\\' => {
                index += 3;
                while index < chars.len() && at(index) != '\'' {
                    index += 1;
                }
                index += 1;
            }
            '\'' if at(index + 2) == '\'' => index += 3,
            '\'' => {
                index += 1;
                while is_word(at(index)) {
                    index += 1;
                }
            }
            ':' if at(index + 1) == ':' => {
                tokens.push(Token::Path);
                index += 2;
            }
            char if is_word(char) => {
                let start = index;
                while is_word(at(index)) {
                    index += 1;
                }
                let word: String = chars[start..index].iter().collect();
                let hashes = chars[index..].iter().take_while(|char| **char == '#').count();
                if ["r", "br", "cr"].contains(&word.as_str()) && at(index + hashes) == '"' {
                    index += raw(&chars[index..], hashes);
                } else if !(["r", "b", "c"].contains(&word.as_str()) && ['"', '#', '\''].contains(&at(index))) {
                    tokens.push(Token::Word(word));
                }
            }
            char if char.is_whitespace() => index += 1,
            char => {
                tokens.push(Token::Mark(char));
                index += 1;
            }
        }
    }
    tokens
}

fn line(chars: &[char]) -> usize {
    chars.iter().take_while(|char| **char != '\n').count()
}

fn comment(chars: &[char]) -> usize {
    let (mut depth, mut index) = (0, 0);
    while index < chars.len() {
        match chars[index..] {
            ['/', '*', ..] => (depth, index) = (depth + 1, index + 2),
            ['*', '/', ..] => (depth, index) = (depth - 1, index + 2),
            _ => index += 1,
        }
        if depth == 0 {
            break;
        }
    }
    index
}

fn quoted(chars: &[char]) -> usize {
    let mut index = 1;
    while index < chars.len() && chars[index] != '"' {
        index += if chars[index] == '\\' { 2 } else { 1 };
    }
    index + 1
}

/// The length of a raw text from its hashes on.
fn raw(chars: &[char], hashes: usize) -> usize {
    let mut index = hashes + 1;
    while index < chars.len() {
        let closes = chars[index] == '"'
            && chars[index + 1..].iter().take(hashes).filter(|char| **char == '#').count() == hashes;
        index += 1;
        if closes {
            return index + hashes;
        }
    }
    index
}
