//! The pieces of text in which citations stand: comments of programs, paragraphs of documents.

/// Lines that belong together, joined by blanks.
#[derive(Default)]
pub(super) struct Piece {
    pub(super) text: String,
    /// Where each line begins in the text, and its number.
    lines: Vec<(usize, usize)>,
}

impl Piece {
    fn add(&mut self, number: usize, line: &str) {
        self.lines.push((self.text.len(), number));
        self.text.push_str(line.trim());
        self.text.push(' ');
    }

    /// The number of the line at a place in the text.
    pub(super) fn line_at(&self, place: usize) -> usize {
        self.lines.iter().take_while(|(start, _)| *start <= place).last().map_or(0, |(_, number)| *number)
    }
}

/// The comments of a program; lines that follow each other are one.
pub(super) fn comments(source: &str) -> Vec<Piece> {
    let mut pieces = vec![Piece::default()];
    for (index, line) in source.lines().enumerate() {
        let (code, comment) = match line.trim_start().strip_prefix("//") {
            Some(comment) => ("", Some(comment.trim_start_matches(['/', '!']))),
            None => line.split_once(" // ").map_or((line, None), |(code, comment)| (code, Some(comment))),
        };
        if !code.is_empty() || comment.is_none() {
            pieces.push(Piece::default());
        }
        if let (Some(piece), Some(comment)) = (pieces.last_mut(), comment) {
            piece.add(index + 1, comment);
        }
    }
    pieces
}

/// The paragraphs of a document; a row of a table is one.
pub(super) fn paragraphs(source: &str) -> Vec<Piece> {
    let mut pieces = vec![Piece::default()];
    for (index, line) in source.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with(['|', '#']) {
            pieces.push(Piece::default());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.add(index + 1, line);
        }
    }
    pieces
}
