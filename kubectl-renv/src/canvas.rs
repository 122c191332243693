//! Where text is drawn: its colours, its width, and rows in columns.

use std::io::{self, IsTerminal as _, Write as _};

use anstyle::Style;
use anyhow::{Context as _, Result};

/// Moves to the first line; what is drawn replaces what is there.
const HOME: &str = "\x1b[H";
const CLEAR: &str = "\x1b[H\x1b[2J";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// Where text is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canvas {
    pub colours: bool,
    pub columns: usize,
}

impl Canvas {
    /// Text for a file or a pipe.
    pub const PLAIN: Self = Self {
        colours: false,
        columns: 100,
    };

    /// That of standard output.
    #[must_use]
    pub fn of_output() -> Self {
        if !io::stdout().is_terminal() {
            return Self::PLAIN;
        }
        Self {
            // https://no-color.org
            colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            columns: terminal_size::terminal_size()
                .map_or(Self::PLAIN.columns, |(width, _)| usize::from(width.0)),
        }
    }

    #[must_use]
    pub fn paint(self, style: Style, text: &str) -> String {
        if self.colours {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

/// Rows below a heading, each column as wide as its widest text. The last column is not padded.
#[must_use]
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = heading.iter().map(|&text| text.to_owned()).collect();
    let all = || std::iter::once(&heading).chain(rows);
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| {
            let texts = all().filter_map(|row| row.get(column));
            texts.map(|text| text.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in all() {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Writes to standard output.
pub fn write(text: &str) -> Result<()> {
    let mut output = io::stdout().lock();
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .context("cannot write the output")
}

/// Empties the terminal, where there is one.
pub fn clear() -> Result<()> {
    if io::stdout().is_terminal() {
        write(CLEAR)?;
    }
    Ok(())
}

/// Writes the text in the place of the one before, as much as the terminal has lines for; without a terminal below it.
pub fn replace(text: &str) -> Result<()> {
    if !io::stdout().is_terminal() {
        return write(text);
    }
    let rows = terminal_size::terminal_size().map_or(usize::MAX, |(_, height)| usize::from(height.0));
    let lines: Vec<String> = text
        .lines()
        .take(rows.saturating_sub(1).max(1))
        .map(|line| format!("{line}{CLEAR_LINE}\n"))
        .collect();
    write(&format!("{HOME}{}{CLEAR_BELOW}", lines.concat()))
}
