//! The comments with which tools separate the up migration from the down migration in one file. To
//! a format without that marker both are one script, so premain would run both.
//!
//! It uses nothing but the standard library: build.rs includes this file.

/// What a comment says about its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    /// Only this tool writes it.
    Of(&'static str),
    /// It begins a down migration if statements follow: this tool's, or a script's of the team's
    /// own.
    Down(Option<&'static str>),
    /// It begins a down migration if there are statements before and after it.
    Between,
}

/// The marker in a line. Blanks, case and the number of dashes do not matter: tools differ in what
/// they accept.
pub(crate) fn parse(line: &str) -> Option<Marker> {
    let line = line.trim_start();
    // Play's evolutions begin a marker with '#', which is no comment to the server.
    let comment = line.strip_prefix("--").or_else(|| line.strip_prefix('#'))?;
    if comment.contains("!Ups") || comment.contains("!Downs") {
        return Some(Marker::Of("Play evolutions"));
    }
    if line.starts_with('#') {
        return None;
    }
    let text = comment.trim_start_matches(['-', ' ', '\t']).to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    if let Some(tool) = tool(&words) {
        return Some(Marker::Of(tool));
    }
    // `==== DOWN ====`, `@Down()`, `migrate: down`
    let text = words.join(" ").replace([':', '_'], " ");
    let bare = text.trim_matches(|c: char| !c.is_alphanumeric());
    let words: Vec<&str> = bare.split_whitespace().collect();
    match words.as_slice() {
        ["down"] if text.starts_with("====") => Some(Marker::Of("shmig")),
        ["downgrade"] => Some(Marker::Down(Some("aerich"))),
        [number, "down"] if is_number(number) => Some(Marker::Down(Some("Mojo::Pg"))),
        ["down", "migration"] => Some(Marker::Down(Some("node-pg-migrate"))),
        ["down" | "downs"]
        | ["down", "migrations" | "script" | "section"]
        | ["migrate" | "migration", "down"] => Some(Marker::Down(None)),
        // node-pg-migrate ignores what follows on the line.
        ["down", "migration", ..]
        | ["undo" | "rollback" | "revert"]
        | ["undo" | "rollback" | "revert", "migration" | "script" | "section"] => {
            Some(Marker::Between)
        }
        _ => None,
    }
}

/// The tool that alone writes a comment of these words, which are in lower case.
fn tool(words: &[&str]) -> Option<&'static str> {
    let direction = |word: &str| matches!(word, "up" | "down");
    match words {
        // Options may follow.
        [first, ..] if first.strip_prefix("migrate:").is_some_and(direction) => Some("dbmate"),
        ["+goose", ..] => Some("goose"),
        ["+migrate", ..] => Some("sql-migrate"),
        ["+micrate", ..] => Some("micrate"),
        ["rambler", word] if direction(word) => Some("rambler"),
        ["create", "above", "/", "drop", "below", ..] => Some("tern"),
        [first, ..]
            if first.starts_with("//") && words.iter().any(|word| word.contains("@undo")) =>
        {
            Some("MyBatis Migrations")
        }
        ["liquibase", "formatted", ..] => Some("Liquibase"),
        // `--changeset author:id`
        ["changeset", id, ..]
            if id.split_once(':').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty()) =>
        {
            Some("Liquibase")
        }
        _ => None,
    }
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::Marker::{Between, Down, Of};
    use super::*;

    #[test]
    fn markers_are_known_in_every_spelling_that_their_tools_accept() {
        for (line, marker) in [
            ("-- migrate:down transaction:false", Of("dbmate")),
            ("  --migrate:up", Of("dbmate")),
            ("--+goose Up", Of("goose")),
            ("-- +goose StatementBegin", Of("goose")),
            ("-- +migrate Down notransaction", Of("sql-migrate")),
            ("-- +micrate Down", Of("micrate")),
            ("-- rambler down", Of("rambler")),
            ("---- create above / drop below ----", Of("tern")),
            ("-- //@UNDO", Of("MyBatis Migrations")),
            ("--// @UNDO", Of("MyBatis Migrations")),
            ("  --  //  @UNDO the rest", Of("MyBatis Migrations")),
            ("--liquibase formatted sql", Of("Liquibase")),
            ("-- Liquibase formatted SQL dbms:postgresql", Of("Liquibase")),
            ("--changeset ada:1 splitStatements:false", Of("Liquibase")),
            ("# --- !Downs", Of("Play evolutions")),
            ("-- !Downs", Of("Play evolutions")),
            ("--- !Ups", Of("Play evolutions")),
            ("#!Downs", Of("Play evolutions")),
            ("-- ==== DOWN ====", Of("shmig")),
            ("-- Down Migration", Down(Some("node-pg-migrate"))),
            (" ---- down \t MIGRATION", Down(Some("node-pg-migrate"))),
            ("-- Down Migration below", Between),
            ("-- downgrade --", Down(Some("aerich"))),
            ("-- 2 down", Down(Some("Mojo::Pg"))),
            ("-- Down", Down(None)),
            ("-- @DOWN", Down(None)),
            ("--;; down", Down(None)),
            ("-- migrate: down", Down(None)),
            ("-- ROLLBACK:", Between),
        ] {
            assert_eq!(parse(line), Some(marker), "{line}");
        }
    }

    #[test]
    fn ordinary_comments_are_no_markers() {
        for line in [
            "-- we migrate:up to you",
            "-- migrate:upwards",
            "-- Down the road",
            "-- up",
            "-- Up Migration",
            "-- rambler",
            "-- rollback is not possible",
            "-- changeset: everything",
            "-- create above",
            "-- 3 down, 2 to go",
            "-- // undo this later",
            "SELECT '-- migrate:down'",
            "# down",
            "--",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
