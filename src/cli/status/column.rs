//! Columns of a table on a screen.

use unicode_width::UnicodeWidthStr as _;

/// A column: its title, its cells, and whether they stand at the right.
pub(in crate::cli) struct Column {
    title: &'static str,
    cells: Vec<String>,
    is_right: bool,
}

impl Column {
    pub(in crate::cli) fn new(title: &'static str, is_right: bool, cells: impl Iterator<Item = String>) -> Self {
        Self { title, cells: cells.collect(), is_right }
    }

    /// Columns of the widest cell or the title.
    pub(in crate::cli) fn width(&self) -> usize {
        self.cells.iter().map(|cell| cell.width()).chain([self.title.len()]).max().unwrap_or_default()
    }

    /// The cell of a row, or the title, filled up to `width` columns.
    pub(super) fn cell(&self, row: Option<usize>, width: usize) -> String {
        let text = row.map_or(self.title, |row| self.cells.get(row).map_or("", String::as_str));
        let space = " ".repeat(width.saturating_sub(text.width()));
        if self.is_right { format!("{space}{text}") } else { format!("{text}{space}") }
    }
}
