//! A rejected migration, shown as a compiler would: file, line, column, caret, and what the server
//! said about it.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use tokio_postgres::error::DbError;

use crate::conceal;

use super::source::Script;

/// What the server said, and where in the file.
#[derive(Debug)]
pub struct Diagnosis {
    /// `migrations/V3__orders.sql:4:12`, without line and column where the server told none.
    pub place: String,
    /// The message and its SQLSTATE.
    pub message: String,
    /// The five characters of the SQLSTATE.
    pub code: String,
    /// The drawing: the line, the caret, detail and hint.
    pub drawing: String,
}

impl Diagnosis {
    /// `position` is in characters from the beginning of the file.
    pub(super) fn new(script: &Script, position: Option<usize>, error: &DbError) -> Self {
        // A byte order mark is no column to people.
        let (sql, position) = match script.sql.strip_prefix('\u{feff}') {
            Some(text) => (text, position.and_then(|position| position.checked_sub(1))),
            None => (script.sql.as_str(), position),
        };
        let path = script.file.display().to_string();
        let code = error.code().code().to_owned();
        let message = format!("{} ({code})", error.message());
        let span = position.and_then(|position| token_at(sql, position));
        let place = match &span {
            None => path.clone(),
            Some(span) => {
                let (line, column) = line_and_column(sql, span.start);
                format!("{path}:{line}:{column}")
            }
        };
        // Before it is drawn: a long line is cut, and what is left may no longer look like a secret.
        let sql = &conceal::masked(sql.to_owned());
        let mut group = Level::ERROR.primary_title(message.clone()).element(match span {
            Some(span) => {
                Snippet::source(sql).path(path).annotation(AnnotationKind::Primary.span(span))
            }
            None => Snippet::source("").path(path),
        });
        let facts = [
            ("detail", error.detail()),
            ("hint", error.hint()),
            ("in", error.where_()),
            ("constraint", error.constraint()),
        ];
        for (name, fact) in facts {
            if let Some(fact) = fact {
                group = group.element(Level::NOTE.with_name(name).message(fact.to_owned()));
            }
        }
        let drawing = Renderer::plain().render(&[group]);
        // The title stands in our own first line already.
        let drawing = drawing.split_once('\n').map_or(String::new(), |(_, rest)| rest.to_owned());
        Diagnosis { place, message, code, drawing }
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.drawing)
    }
}

/// The bytes of the word or sign at that character; `None` behind the end, where the mistake is not
/// in this file.
fn token_at(sql: &str, position: usize) -> Option<Range<usize>> {
    let Some((start, _)) = sql.char_indices().nth(position) else {
        // "at end of input": point at the last thing there is.
        let end = sql.trim_end().len();
        let (last, _) = sql[..end].char_indices().next_back()?;
        return Some(last..end);
    };
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let rest = &sql[start..];
    let length = match rest.chars().next()? {
        '"' => rest[1..].find('"').map_or(1, |end| end + 2),
        c if word(c) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
        c => c.len_utf8(),
    };
    Some(start..start + length)
}

/// Both from 1, the column in characters.
fn line_and_column(sql: &str, offset: usize) -> (usize, usize) {
    let before = &sql[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_and_columns_count_characters() {
        let sql = "-- größer\r\nSELECT 'ä', nme FROM t";
        let position = sql.chars().position(|c| c == 'n').unwrap();
        let span = token_at(sql, position).unwrap();
        assert_eq!(&sql[span.clone()], "nme");
        assert_eq!(line_and_column(sql, span.start), (2, 13));
    }

    #[test]
    fn the_end_of_input_points_at_the_last_sign() {
        let sql = "CREATE TABLE t (\n  a int\n";
        let span = token_at(sql, sql.chars().count()).unwrap();
        assert_eq!(line_and_column(sql, span.start), (2, 7));
        assert_eq!(token_at("", 0), None);
    }

    proptest! {
        #[test]
        fn any_position_in_any_text_is_a_token_or_none(sql in "\\PC*\n?\\PC*", position in 0..200_usize) {
            if let Some(span) = token_at(&sql, position) {
                prop_assert!(sql.get(span.clone()).is_some_and(|token| !token.is_empty()));
                line_and_column(&sql, span.start);
            }
        }
    }
}
