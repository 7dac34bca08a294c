//! Where something is in a text: line, column, and the line itself, as an error message shows it.

use std::io;
use std::ops::Range;
use std::path::Path;

use super::text::Text;

/// How many characters of a line are shown before and after the location.
const SIDE: usize = 70;

/// An upper bound for the length of [`SIDE`] characters in bytes.
const SIDE_BYTES: usize = SIDE * 4 + 4;

/// A position in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    /// Counts from 1.
    pub(crate) line: usize,
    /// Counts from 1, in characters; a byte order mark does not count.
    pub(crate) column: usize,
    /// The line; of a long one, the part around the location.
    pub(crate) text: String,
    /// The word or sign at the location, as bytes of `text`.
    pub(crate) span: Range<usize>,
}

impl Location {
    /// `migrations/V3__orders.sql:4:12`
    pub(crate) fn place(&self, file: &Path) -> String {
        format!("{}:{}:{}", file.display(), self.line, self.column)
    }

    /// The same location, with a span that reaches to the end of the line.
    pub(crate) fn to_end_of_line(mut self) -> Location {
        self.span.end = self.text.trim_end_matches('…').trim_end().len().max(self.span.end);
        self
    }
}

/// The location `position` characters after the beginning of `text`. A position after the end ("at end
/// of input") gives the last visible character; a blank text has no location.
///
/// # Errors
/// The large file can no longer be read.
pub(crate) fn find(text: &Text, position: usize) -> io::Result<Option<Location>> {
    let mut walk = Walk { line: 1, ..Walk::default() };
    let mut found = false;
    let mut last_sign = None;
    text.chunks(|chunk| {
        if found {
            return;
        }
        match chunk.char_indices().nth(position - walk.characters) {
            Some((at, _)) => {
                walk.over(&chunk[..at]);
                found = true;
            }
            None => {
                let signs = chunk.trim_end();
                if !signs.is_empty() {
                    last_sign = Some(walk.characters + signs.chars().count() - 1);
                }
                walk.over(chunk);
            }
        }
    })?;
    match (found, last_sign) {
        (true, _) => walk.location(text).map(Some),
        (false, Some(last)) => find(text, last),
        (false, None) => Ok(None),
    }
}

/// The state of walking through a text.
#[derive(Default)]
struct Walk {
    line: usize,
    bytes: usize,
    characters: usize,
    /// Where the current line begins.
    line_bytes: usize,
    line_characters: usize,
}

impl Walk {
    fn over(&mut self, text: &str) {
        if let Some(newline) = text.rfind('\n') {
            self.line += text.bytes().filter(|byte| *byte == b'\n').count();
            self.line_bytes = self.bytes + newline + 1;
            self.line_characters = self.characters + text[..=newline].chars().count();
        }
        self.bytes += text.len();
        self.characters += text.chars().count();
    }

    fn location(&self, text: &Text) -> io::Result<Location> {
        let begin = self.line_bytes.max(self.bytes.saturating_sub(SIDE_BYTES));
        let end = text.len().min(self.bytes + SIDE_BYTES);
        let before = text.slice(begin..self.bytes)?;
        let behind = text.slice(self.bytes..end)?;
        // A slice may begin and end in the middle of a character.
        let before = before.trim_start_matches(['\u{fffd}', '\u{feff}']);
        let behind = behind.split(['\r', '\n']).next().unwrap_or_default();
        let length = self.characters - self.line_characters;
        let cut = length > SIDE;
        let first = before.char_indices().rev().nth(SIDE - 1).map_or(0, |(at, _)| at);
        let last = behind.char_indices().nth(SIDE).map(|(at, _)| at);
        let before = if cut { format!("…{}", &before[first..]) } else { before.to_owned() };
        let shown = &behind[..last.unwrap_or(behind.len())];
        let dots = if last.is_some() { "…" } else { "" };
        let marked = usize::from(self.line == 1 && text.beginning().starts_with('\u{feff}'));
        Ok(Location {
            line: self.line,
            column: length + 1 - marked.min(length),
            span: before.len()..before.len() + token_length(shown),
            text: format!("{before}{shown}{dots}"),
        })
    }
}

/// The length in bytes of the word or sign that `text` begins with.
fn token_length(text: &str) -> usize {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    match text.chars().next() {
        None => 0,
        Some('"') => text[1..].find('"').map_or(1, |end| end + 2),
        Some(c) if word(c) => text.find(|c| !word(c)).unwrap_or(text.len()),
        Some(c) => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn location(sql: &str, position: usize) -> Option<Location> {
        find(&Text::InMemory(sql.to_owned()), position).unwrap()
    }

    #[test]
    fn lines_and_columns_count_characters() {
        let sql = "-- größer\r\nSELECT 'ä', nme FROM t\r\n;";
        let found = location(sql, sql.chars().position(|c| c == 'n').unwrap()).unwrap();
        assert_eq!((found.line, found.column, &found.text[found.span]), (2, 13, "nme"));
        assert_eq!(found.text, "SELECT 'ä', nme FROM t");
    }

    #[test]
    fn a_byte_order_mark_is_no_column() {
        let found = location("\u{feff}SELEC 1", 1).unwrap();
        assert_eq!((found.column, &found.text[found.span], &*found.text), (1, "SELEC", "SELEC 1"));
        assert_eq!(location("\u{feff}x\ny", 3).unwrap().column, 1);
    }

    #[test]
    fn the_end_of_input_points_at_the_last_sign() {
        let sql = "CREATE TABLE t (\n  a int\n";
        let found = location(sql, sql.chars().count()).unwrap();
        assert_eq!((found.line, found.column), (2, 7));
        assert_eq!(location("", 0), None);
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let sql = format!("\nSELECT {}nme{}", "'ä', ".repeat(20_000), " ".repeat(100_000));
        let found = location(&sql, sql.chars().position(|c| c == 'n').unwrap()).unwrap();
        assert_eq!(
            (found.line, found.column, &found.text[found.span.clone()]),
            (2, 100_008, "nme")
        );
        assert!(found.text.chars().count() < 2 * SIDE + 10, "{}", found.text);
        assert!(found.text.starts_with('…') && found.text.ends_with('…'));
    }

    proptest! {
        #[test]
        fn any_position_in_any_text_is_a_token_or_none(sql in "\\PC*\n?\\PC*", position in 0..200_usize) {
            if let Some(found) = location(&sql, position) {
                let token = found.text.get(found.span);
                prop_assert!(token.is_some());
            }
        }
    }
}
