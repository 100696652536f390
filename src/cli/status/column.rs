//! Columns of a table on a screen.

use std::io::IsTerminal as _;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr as _;

use crate::cli::status::level::StatusLevel;

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

/// How the screen is written.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct TableStyle {
    /// Columns.
    pub(in crate::cli) width: usize,
    /// Whether colours may be used.
    pub(in crate::cli) is_coloured: bool,
}

impl TableStyle {
    /// As the standard output wants it: COLUMNS or the terminal's own width; colour on a terminal only, and never with `NO_COLOR`.
    pub(super) fn of_stdout() -> Self {
        let stdout = std::io::stdout();
        let set = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
        let own = || terminal_size::terminal_size_of(&stdout).map(|(width, _)| usize::from(width.0));
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            width: set.or_else(own).unwrap_or(USUAL_WIDTH).max(LEAST_WIDTH),
            is_coloured: stdout.is_terminal() && !is_set("NO_COLOR") && !is_dumb,
        }
    }

    pub(super) fn paint(self, text: &str, style: Style) -> String {
        if self.is_coloured { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

pub(in crate::cli) fn style(level: StatusLevel) -> Style {
    match level {
        StatusLevel::Fine => AnsiColor::Green.on_default(),
        StatusLevel::Warning => AnsiColor::Yellow.on_default(),
        StatusLevel::Critical => AnsiColor::Red.on_default().bold(),
    }
}

/// The text within `room` columns: its middle gives way, because the beginning says where it is and the end what it is.
pub(super) fn shortened(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let left = room.saturating_sub(1);
    let taken = |letters: &mut dyn Iterator<Item = char>, most: usize| {
        let mut kept = String::new();
        for letter in letters {
            let mut longer = kept.clone();
            longer.push(letter);
            if longer.width() > most {
                break;
            }
            kept = longer;
        }
        kept
    };
    let begin = taken(&mut text.chars(), left / 3);
    let end: String = taken(&mut text.chars().rev(), left - begin.width()).chars().rev().collect();
    format!("{begin}…{end}")
}

/// Narrower screens are written as if they were so wide.
pub(super) const LEAST_WIDTH: usize = 60;

/// Where neither the terminal nor COLUMNS says anything.
pub(super) const USUAL_WIDTH: usize = 80;
