//! The location of something in a text, as an error message shows it: line, column, and the line itself.

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
    pub(crate) fn extended_to_line_end(mut self) -> Location {
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
    let mut last_visible = None;
    text.chunks(|chunk| {
        if found {
            return;
        }
        match chunk.char_indices().nth(position - walk.characters) {
            Some((at, _)) => {
                walk.skip(&chunk[..at]);
                found = true;
            }
            None => {
                let visible = chunk.trim_end();
                if !visible.is_empty() {
                    last_visible = Some(walk.characters + visible.chars().count() - 1);
                }
                walk.skip(chunk);
            }
        }
    })?;
    match (found, last_visible) {
        (true, _) => walk.location(text).map(Some),
        (false, Some(last)) => find(text, last),
        (false, None) => Ok(None),
    }
}

/// A walk through a text, which counts its lines.
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
    fn skip(&mut self, text: &str) {
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
        let after = text.slice(self.bytes..end)?;
        // A slice may begin and end in the middle of a character.
        let before = before.trim_start_matches(['\u{fffd}', '\u{feff}']);
        let after = after.split(['\r', '\n']).next().unwrap_or_default();
        let length = self.characters - self.line_characters;
        let cut = length > SIDE;
        let first = before.char_indices().rev().nth(SIDE - 1).map_or(0, |(at, _)| at);
        let last = after.char_indices().nth(SIDE).map(|(at, _)| at);
        let before = if cut { format!("…{}", &before[first..]) } else { before.to_owned() };
        let shown = &after[..last.unwrap_or(after.len())];
        let dots = if last.is_some() { "…" } else { "" };
        let mark = usize::from(self.line == 1 && text.beginning().starts_with('\u{feff}'));
        Ok(Location {
            line: self.line,
            column: length + 1 - mark.min(length),
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
    fn a_byte_order_mark_does_not_count() {
        let found = location("\u{feff}SELEC 1", 1).unwrap();
        assert_eq!((found.column, &found.text[found.span], &*found.text), (1, "SELEC", "SELEC 1"));
        assert_eq!(location("\u{feff}x\ny", 3).unwrap().column, 1);
    }

    #[test]
    fn the_end_of_input_is_the_last_visible_character() {
        let sql = "CREATE TABLE t (\n  a int\n";
        let found = location(sql, sql.chars().count()).unwrap();
        assert_eq!((found.line, found.column), (2, 7));
        assert_eq!(location("", 0), None);
    }

    #[test]
    fn a_long_line_is_cut_around_the_location() {
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
        fn every_position_has_a_token_or_no_location(sql in "\\PC*\n?\\PC*", position in 0..200_usize) {
            if let Some(found) = location(&sql, position) {
                let token = found.text.get(found.span);
                prop_assert!(token.is_some());
            }
        }
    }
}
