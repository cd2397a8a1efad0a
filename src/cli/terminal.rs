//! The only place that writes to the terminal: lines, tables, boards, progress, and what makes
//! foreign text harmless.
//!
//! The log of the server is not written here (`telemetry`).

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

/// Writes a line to standard output.
///
/// # Errors
/// What the system says, such as a closed pipe.
pub fn line(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{text}")?;
    output.flush()
}

/// Writes a JSON value to standard output, on one line.
///
/// # Errors
/// What the system says, such as a closed pipe.
pub fn json(value: &serde_json::Value) -> io::Result<()> {
    line(&escape_json(&value.to_string()))
}

/// Writes rows as a table to standard output: columns as wide as their longest cell, the last one
/// open.
///
/// # Errors
/// What the system says, such as a closed pipe.
pub fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    line(&format_table(head, rows))
}

/// The same table as text, without a newline at its end.
pub fn format_table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let head = head.map(String::from);
    let mut widths = [0; N];
    for row in std::iter::once(&head).chain(rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let lines = std::iter::once(&head).chain(rows).map(|row| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        let joined = cells.collect::<Vec<_>>().join("  ");
        String::from(joined.trim_end())
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Writes a line to standard error: what went wrong, or a remark that is no result.
///
/// A standard error that cannot be written to is left alone: there is no other place to tell.
pub fn remark(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A line on standard error that tells how far something is: rewritten on a terminal, else one
/// more line.
pub struct Progress {
    rewrites: bool,
    shown_chars: usize,
}

impl Progress {
    /// Asks whether standard error is a terminal.
    pub fn new() -> Progress {
        Progress {
            rewrites: io::stderr().is_terminal(),
            shown_chars: 0,
        }
    }

    /// Whether lines are rewritten, so that many of them disturb nobody.
    pub fn rewrites(&self) -> bool {
        self.rewrites
    }

    /// Shows the newest state.
    pub fn show(&mut self, text: &str) {
        if !self.rewrites {
            return remark(text);
        }
        let width = self.shown_chars;
        let mut output = io::stderr().lock();
        let _ = write!(output, "\r{text:<width$}").and_then(|()| output.flush());
        self.shown_chars = text.chars().count();
    }
}

impl Default for Progress {
    fn default() -> Progress {
        Progress::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown_chars > 0 {
            self.show("");
            let _ = write!(io::stderr().lock(), "\r");
        }
    }
}

/// A block of lines on standard output that tells how something stands: drawn anew in its place on a
/// terminal, else once more below.
pub struct Board {
    redraws: bool,
    lines_drawn: usize,
}

impl Board {
    /// Asks whether standard output is a terminal.
    pub fn new() -> Board {
        Board {
            redraws: io::stdout().is_terminal(),
            lines_drawn: 0,
        }
    }

    /// Whether it is drawn in its place, so that drawing it often disturbs nobody.
    pub fn redraws(&self) -> bool {
        self.redraws
    }

    /// Draws the newest state.
    ///
    /// # Errors
    /// What the system says, such as a closed pipe.
    pub fn draw(&mut self, text: &str) -> io::Result<()> {
        if !self.redraws {
            return line(text);
        }
        let mut output = io::stdout().lock();
        output.write_all(redrawn(self.lines_drawn, text).as_bytes())?;
        self.lines_drawn = text.lines().count();
        output.flush()
    }
}

impl Default for Board {
    fn default() -> Board {
        Board::new()
    }
}

/// A text in the place of the lines above the cursor. Lines are cut at the edge of the terminal
/// (DECAWM off), so that each is one line to go up by the next time.
fn redrawn(lines_above: usize, text: &str) -> String {
    let up = match lines_above {
        0 => String::new(),
        lines => format!("\x1b[{lines}F"),
    };
    let lines: String = text.lines().map(|line| format!("{line}\x1b[K\n")).collect();
    format!("\x1b[?7l{up}{lines}\x1b[J\x1b[?7h")
}

/// The text with everything spelled out that would steer a terminal or reorder its line: control
/// characters, line separators, and the marks of bidirectional text.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if steers(character) {
            safe.extend(character.escape_default());
        } else {
            safe.push(character);
        }
    }
    safe
}

/// JSON in which the same characters are escaped within the strings; JSON itself escapes only some.
fn escape_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        if steers(character) && character != '\n' {
            let _ = write!(safe, "\\u{:04x}", u32::from(character));
        } else {
            safe.push(character);
        }
    }
    safe
}

fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_steer_a_terminal_are_spelled_out() {
        for (text, shown) in [
            ("plain é 李 😀 \\n", "plain é 李 😀 \\n"),
            ("\x1b[31mred", "\\u{1b}[31mred"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}"),
            ("\u{202e}abc\u{2066}", "\\u{202e}abc\\u{2066}"),
            ("\u{2028}", "\\u{2028}"),
        ] {
            assert_eq!(escape(text), shown);
        }
    }

    #[test]
    fn json_stays_the_same_value_and_holds_no_character_that_steers() {
        let value = serde_json::json!({"text": "\x1b\u{9b}\u{7f}\u{202e}\u{2067} é\n"});
        let safe = escape_json(&value.to_string());
        assert!(!safe.chars().any(steers), "{safe}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&safe).ok(),
            Some(value)
        );
    }

    #[test]
    fn a_table_lines_up_its_columns_and_ends_no_line_in_blanks() {
        let rows = [["1", "x"], ["22", ""]].map(|row| row.map(String::from));
        assert_eq!(format_table(["A", "B"], &rows), "A   B\n1   x\n22");
    }

    #[test]
    fn a_board_is_drawn_over_the_lines_that_it_had() {
        assert_eq!(
            redrawn(0, "a\nb"),
            "\x1b[?7la\x1b[K\nb\x1b[K\n\x1b[J\x1b[?7h"
        );
        assert_eq!(redrawn(2, "a"), "\x1b[?7l\x1b[2Fa\x1b[K\n\x1b[J\x1b[?7h");
    }
}
