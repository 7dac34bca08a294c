//! Statements that fail unless the server says that they wrote a row: a trigger or a rule on the table may swallow it.

use super::quoting::literal;

/// The first and the last words of the error, which the server quotes in an error of its own.
const BEGINNING: &str = "rows written to ";
const ENDING: &str = "because of a trigger or rule on it";

/// `statement`, an INSERT, UPDATE or DELETE on `table`, which fails unless it writes exactly one row.
pub(crate) fn writes_one(table: &str, statement: &str) -> String {
    writes(table, statement, "= 1", "one")
}

/// `statement`, an UPDATE or DELETE on `table`, which fails if it finds no row.
pub(crate) fn writes_some(table: &str, statement: &str) -> String {
    writes(table, statement, "> 0", "at least one")
}

/// SQL has no statement that fails with a text, but a text that is no number cannot be cast to one.
fn writes(table: &str, statement: &str, wanted: &str, meant: &str) -> String {
    format!(
        "WITH written AS ({statement} RETURNING 1) SELECT CASE WHEN pg_catalog.count(*) {wanted} THEN 1 \
         ELSE pg_catalog.concat({}, pg_catalog.count(*), {})::pg_catalog.int4 END FROM written",
        literal(&format!("{BEGINNING}{table}: ")),
        literal(&format!(" instead of {meant}, {ENDING}")),
    )
}

/// The error of such a statement, in the server's message.
pub(crate) fn not_written(message: &str) -> Option<&str> {
    let from = message.find(BEGINNING)?;
    let to = message.rfind(ENDING)? + ENDING.len();
    message.get(from..to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_found_in_any_language() {
        let error =
            "rows written to public.t: 0 instead of one, because of a trigger or rule on it";
        assert_eq!(not_written(&format!("ungültige Eingabesyntax: »{error}«")), Some(error));
        assert_eq!(not_written("invalid input syntax for type integer: \"x\""), None);
    }
}
