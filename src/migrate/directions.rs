//! Up migrations that also hold what reverts them, as far as their text shows: applied as one
//! script, nothing would be left of them.

use std::io;

use super::formats::markers::{self, Marker};
use super::sql::splitter::{Token, tokens};
use super::sql::{Reader, Script};

/// The line that begins a down migration in `script`: its offset in bytes, and the error.
///
/// # Errors
/// The large file can no longer be read.
pub(super) fn down_section(script: &Script) -> io::Result<Option<(usize, String)>> {
    let (mut is_behind_statement, mut marked) = (false, None);
    let found = script.sql.lines(|at, line| {
        let text = line.trim();
        if text.is_empty() || !script.contains(at) {
            return None;
        }
        if !text.starts_with("--") {
            is_behind_statement = true;
            return marked.take();
        }
        let tool = match markers::parse(line)? {
            Marker::Down(tool) => tool,
            Marker::Between if is_behind_statement => None,
            Marker::Between | Marker::Of(_) => return None,
        };
        let at = at + line.len() - line.trim_start().len();
        if marked.is_none() && !script.is_quoted(at) {
            marked = Some((at, tool));
        }
        None
    })?;
    Ok(found.map(|(at, tool)| {
        let whose = tool.map_or_else(
            || "what follows looks like the down migration".to_owned(),
            |tool| format!("the down migration follows, as {tool} separates it"),
        );
        let why = format!(
            "{whose}, and it would run too; move it to a file of its own, or remove it; if it is none, reword this line"
        );
        (at, why)
    }))
}

/// The kinds of objects that are compared.
const KINDS: [&str; 9] =
    ["TABLE", "SCHEMA", "TYPE", "DOMAIN", "VIEW", "INDEX", "FUNCTION", "PROCEDURE", "SEQUENCE"];

/// An object in the database: its kind, and its name without the schema `public`.
type Object = (&'static str, String);

/// The first statement of `script` that drops what the script has created and does not create
/// again: its position in characters, and the warning. Nothing in a large file.
///
/// # Errors
/// Its text cannot be split.
pub(super) fn drops_its_own(script: &Script) -> io::Result<Option<(usize, String)>> {
    // A file of many megabytes is data.
    if script.sql.in_memory().is_none() {
        return Ok(None);
    }
    let (mut created, mut dropped) = (Vec::<Object>::new(), Vec::<(usize, Object)>::new());
    let mut reader = Reader::new(script)?;
    while let Some((_, statement, position)) = reader.next()? {
        match Change::parse(statement) {
            None => {}
            Some(Change::Create(object)) => {
                dropped.retain(|(_, other)| *other != object);
                created.push(object);
            }
            Some(Change::Rename(object, new)) => {
                dropped.retain(|(_, (_, name))| *name != new);
                if let Some((_, name)) = created.iter_mut().find(|other| **other == object) {
                    *name = new;
                }
            }
            Some(Change::Drop(objects)) => {
                for object in objects {
                    if let Some(at) = created.iter().position(|other| *other == object) {
                        created.remove(at);
                        dropped.push((position, object));
                    }
                }
            }
        }
    }
    Ok(dropped.into_iter().next().map(|(position, (kind, name))| {
        let why = format!(
            "it drops the {} {name}, which it has created before; if this is the down migration, move it to a file of its own",
            kind.to_lowercase()
        );
        (position, why)
    }))
}

/// What a statement does to objects.
enum Change {
    Create(Object),
    Drop(Vec<Object>),
    /// The object, and its new name.
    Rename(Object, String),
}

impl Change {
    /// `None` if it does none of this, or to a temporary object.
    fn parse(statement: &str) -> Option<Change> {
        let mut words = Words::of(statement);
        let verb = words.next()?.to_ascii_uppercase();
        let is_create = match verb.as_str() {
            "CREATE" => true,
            "DROP" | "ALTER" => false,
            _ => return None,
        };
        let kind = words.kind()?;
        let name = words.name()?;
        if is_create {
            // An index need not have a name: `CREATE INDEX ON t (a)`.
            return (name != "on").then_some(Change::Create((kind, name)));
        }
        if verb == "ALTER" {
            let is_rename = ["RENAME", "TO"].iter().all(|word| words.next_is(word));
            return is_rename
                .then(|| words.name())
                .flatten()
                .map(|new| Change::Rename((kind, name), new));
        }
        let mut objects = vec![(kind, name)];
        while words.skip_to_comma() {
            objects.push((kind, words.name()?));
        }
        Some(Change::Drop(objects))
    }
}

/// The tokens of a statement.
struct Words<'a> {
    statement: &'a str,
    tokens: std::iter::Peekable<Box<dyn Iterator<Item = (Token, std::ops::Range<usize>)> + 'a>>,
}

impl<'a> Words<'a> {
    fn of(statement: &'a str) -> Words<'a> {
        let tokens: Box<dyn Iterator<Item = _>> = Box::new(tokens(statement));
        Words { statement, tokens: tokens.peekable() }
    }

    fn next(&mut self) -> Option<&'a str> {
        self.tokens.next().map(|(_, range)| &self.statement[range])
    }

    fn next_is(&mut self, word: &str) -> bool {
        let statement = self.statement;
        self.tokens
            .next_if(|(_, range)| statement[range.clone()].eq_ignore_ascii_case(word))
            .is_some()
    }

    /// The kind of object, behind what may stand before it.
    fn kind(&mut self) -> Option<&'static str> {
        loop {
            let word = self.next()?.to_ascii_uppercase();
            if let Some(kind) = KINDS.into_iter().find(|kind| *kind == word) {
                return Some(kind);
            }
            let may_precede =
                ["OR", "REPLACE", "UNLOGGED", "FOREIGN", "UNIQUE", "MATERIALIZED", "RECURSIVE"];
            if !may_precede.contains(&word.as_str()) {
                return None;
            }
        }
    }

    fn name(&mut self) -> Option<String> {
        for word in ["CONCURRENTLY", "IF", "NOT", "EXISTS", "ONLY"] {
            self.next_is(word);
        }
        let mut parts = Vec::new();
        loop {
            let (token, range) = self.tokens.next()?;
            let text = &self.statement[range];
            parts.push(match token {
                Token::Word => text.to_lowercase(),
                Token::Name => text.trim_matches('"').to_owned(),
                _ => return None,
            });
            if !self.next_is(".") {
                break;
            }
        }
        if parts.len() == 2 && parts[0] == "public" {
            parts.remove(0);
        }
        Some(parts.join("."))
    }

    /// Whether there is a comma outside of parentheses; the words before it are skipped.
    fn skip_to_comma(&mut self) -> bool {
        let mut depth = 0_usize;
        for (token, _) in self.tokens.by_ref() {
            match token {
                Token::Sign('(') => depth += 1,
                Token::Sign(')') => depth = depth.saturating_sub(1),
                Token::Sign(',') if depth == 0 => return true,
                _ => {}
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(sql: &str) -> Script {
        Script::whole("1_a.sql".into(), sql.to_owned())
    }

    #[test]
    fn a_down_section_is_found_if_statements_follow_it() {
        let found = |sql: &str| down_section(&script(sql)).unwrap();
        for (sql, line, says) in [
            ("-- Up Migration\nA;\n-- Down Migration\nB;", "-- Down Migration", "node-pg-migrate"),
            ("A;\n\n ---- down\tMIGRATION of a\n-- why\nB;", "---- down", "looks like the down"),
            ("-- Down Migration\nB;\n-- Up Migration\nA;", "-- Down", "node-pg-migrate"),
            ("A;\n-- @DOWN\nB;", "-- @DOWN", "looks like the down migration"),
            ("A;\n-- rollback\nB;", "-- rollback", "looks like the down migration"),
            ("-- 1 up\nA;\n-- 1 down\nB;", "-- 1 down", "Mojo::Pg"),
        ] {
            let (at, why) = found(sql).unwrap();
            assert!(sql[at..].starts_with(line) && why.contains(says), "{sql}: {at} {why}");
        }
        for sql in [
            "A;\n-- Down Migration\n",
            "A;\n-- rollback:\n-- B;\n",
            "-- Rollback\nA;",
            "-- Down migration: DROP TABLE a\nCREATE TABLE a ();",
            "A;\n-- Down the road\nB;",
            "SELECT '\n-- down\n';",
            "DO $$ BEGIN\n-- down\nPERFORM 1; END $$;",
            "/*\n-- down\n*/ A;",
        ] {
            assert_eq!(found(sql), None, "{sql}");
        }
    }

    #[test]
    fn what_drops_its_own_objects_is_found() {
        let found = |sql: &str| drops_its_own(&script(sql)).unwrap().map(|(_, why)| why);
        for (sql, says) in [
            ("CREATE TABLE a (x int);\nDROP TABLE a;", "the table a,"),
            (
                "CREATE TABLE IF NOT EXISTS public.a ();DROP TABLE IF EXISTS \"a\" CASCADE;",
                "the table a,",
            ),
            ("CREATE TABLE a ();CREATE TABLE b ();DROP TABLE c, b, a;", "the table b,"),
            ("CREATE SCHEMA s;CREATE TABLE s.a ();DROP SCHEMA s CASCADE", "the schema s,"),
            ("CREATE TYPE t AS ENUM ('a');DROP TYPE t", "the type t,"),
            ("CREATE OR REPLACE VIEW v AS SELECT 1;DROP VIEW v", "the view v,"),
            ("CREATE MATERIALIZED VIEW v AS SELECT 1;DROP MATERIALIZED VIEW v", "the view v,"),
            (
                "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a);DROP INDEX CONCURRENTLY i",
                "the index i,",
            ),
            (
                "CREATE FUNCTION f(a int) RETURNS int AS '' LANGUAGE sql;DROP FUNCTION f(int), g(a, b)",
                "the function f,",
            ),
        ] {
            let why = found(sql).unwrap_or_default();
            assert!(why.contains(says), "{sql}: {why}");
        }
        for sql in [
            "DROP TABLE IF EXISTS a;CREATE TABLE a ()",
            "CREATE TABLE a ();DROP TABLE a;CREATE TABLE a (x int)",
            "CREATE TEMP TABLE a ();DROP TABLE a",
            "CREATE TABLE a_new ();DROP TABLE a;ALTER TABLE a_new RENAME TO a",
            "CREATE TABLE a ();ALTER TABLE a RENAME TO b;DROP TABLE a",
            "CREATE TABLE a (x int);ALTER TABLE a DROP COLUMN x",
            "CREATE TABLE a ();DROP INDEX a",
            "CREATE INDEX ON t (a);DROP INDEX i",
            "-- DROP TABLE a\nCREATE TABLE a ()",
        ] {
            assert_eq!(found(sql), None, "{sql}");
        }
    }
}
