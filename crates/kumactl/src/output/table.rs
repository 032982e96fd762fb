//! Tables: columns padded to their widest cell and three blanks; the last cell of a row is not padded.

use super::visible;

/// Rows of cells below a head.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    pub(crate) fn add(&mut self, row: impl IntoIterator<Item = String>) {
        // Cells come from servers.
        self.rows.push(row.into_iter().map(|cell| visible::line(&cell)).collect());
    }

    /// Writes the table.
    pub(crate) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        let widths: Vec<usize> = (0..columns)
            .map(|column| cells(column).map(|cell| cell.chars().count()).max().unwrap_or_default())
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            for (place, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let is_last = place + 1 == row.len();
                if is_last { text += cell } else { text += &format!("{cell:width$}   ") }
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_padded_but_the_last() {
        let mut table = Table::new(&["NAME", "STATUS", "BACKEND"]);
        table.add(["east".into(), "Offline".into(), String::new()]);
        table.add(["zone-one".into(), "Online".into(), "memory".into()]);
        let expected = "NAME       STATUS    BACKEND\neast       Offline   \nzone-one   Online    memory\n";
        assert_eq!(table.text(), expected);
    }

    #[test]
    fn cells_cannot_control_the_terminal() {
        let mut table = Table::new(&["A", "B"]);
        table.add(["x\u{1b}[2J\ny".into(), "z".into()]);
        assert_eq!(table.text(), "A                  B\nx\\u{1b}[2J\\u{a}y   z\n");
    }
}
