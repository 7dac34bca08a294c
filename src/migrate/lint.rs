//! Mistakes in migrations that can be found without a database: what can never run, which also stops a start before anything
//! runs, and what runs but most likely not as its author meant it.

use std::io;
use std::path::Path;

use walkdir::WalkDir;

use super::directions;
use super::finding::{Finding, Severity, line_and_column};
use super::migration::Migration;
use super::source::Source;
use super::source::error::SourceError;
use super::sql::{Kind, Reader, Script, Survey, Text, location, splitter};

/// Collects the findings in one script, at positions in characters.
struct Lint<'a> {
    script: &'a Script,
    findings: Vec<Finding>,
}

impl<'a> Lint<'a> {
    fn new(script: &'a Script) -> Lint<'a> {
        Lint { script, findings: Vec::new() }
    }

    fn add(
        &mut self,
        severity: Severity,
        position: usize,
        message: impl Into<String>,
    ) -> io::Result<()> {
        let found = location::find(&self.script.sql, position)?;
        let location = Some(found.map_or((1, 1), |location| (location.line, location.column)));
        let file = self.script.file.clone();
        self.findings.push(Finding { severity, file, location, message: message.into() });
        Ok(())
    }

    /// Finds what no server can run, whatever is in the database, and what a server with `backslash_escapes` does not split as
    /// premain does.
    fn cannot_run(&mut self, survey: &Survey, backslash_escapes: bool) -> io::Result<()> {
        if let (Some(position), true) = (survey.backslash, backslash_escapes) {
            let message = "standard_conforming_strings is off for this role or database, so the backslash before a quote in \
                           this text may end it elsewhere than it seems; write E'…' for a text with escapes, and '' for a quote";
            self.add(Severity::Error, position, message)?;
        }
        // People do not merge files of many megabytes.
        if let Some(position) = self.script.sql.in_memory().and_then(find_conflict) {
            let message =
                "a merge conflict is not resolved; choose one of its sides, and remove the markers";
            return self.add(Severity::Error, position, message);
        }
        if let Some((position, mut message)) = survey.unrunnable.clone() {
            if message.starts_with('\\') {
                message += "; remove it, or write in SQL what it does";
            }
            self.add(Severity::Error, position, message)?;
        }
        Ok(())
    }

    /// Finds what runs, but most likely not as it was meant.
    fn surprises(&mut self, survey: &Survey) -> io::Result<()> {
        let script = self.script;
        let mut statements = Vec::new();
        let mut reader = Reader::new(script)?;
        while let Some((kind, _, position)) = reader.next()? {
            statements.push((position, kind));
        }
        let Some((first, _)) = statements.first().copied() else {
            return self.add(Severity::Warning, 0, "it holds no statement; was it saved?");
        };
        if script.sql.beginning().starts_with('\u{feff}') {
            let message = "it begins with a byte order mark, which premain skips, but psql and other tools reject; \
                           save the file as UTF-8 without one";
            self.add(Severity::Warning, 0, message)?;
        }
        let find = |wanted: fn(Kind) -> bool| {
            statements.iter().find(|(_, kind)| wanted(*kind)).map(|(position, _)| *position)
        };
        let no_transaction = !script.transactional || find(Kind::forbids_transaction).is_some();
        let begins = find(|kind| kind == Kind::Begin);
        let ends = find(|kind| matches!(kind, Kind::End(end) if !end.chains() && !end.undoes()));
        let chains = find(|kind| matches!(kind, Kind::End(end) if end.chains()));
        if let Some(position) = survey.rolls_back {
            let message = "ROLLBACK undoes what comes before it, and only the rest is kept; remove what is undone, and this";
            self.add(Severity::Warning, position, message)?;
        } else if let (Some(position), false) = (chains, no_transaction) {
            let message = "AND CHAIN ends the transaction that premain runs it in, and begins one of its own: what comes before \
                           this is kept even if the rest fails; split the migration";
            self.add(Severity::Warning, position, message)?;
        } else if let (Some(position), false) = (ends, no_transaction) {
            let message = "it ends the transaction that premain runs it in: what comes before this is kept even if the rest fails; \
                           remove BEGIN and COMMIT, or split the migration";
            self.add(Severity::Warning, position, message)?;
        } else if let (Some(position), false) = (begins, no_transaction) {
            let message = "premain begins a transaction itself; remove this";
            self.add(Severity::Warning, position, message)?;
        }
        let conflicting = find(Kind::forbids_transaction).filter(|_| statements.len() > 1);
        if let (Some(position), true) = (conflicting, script.transactional) {
            let position = if position == first { statements[1].0 } else { position };
            let message = "one statement cannot run in a transaction, so all of them run one by one, and those before a failure \
                           are kept; move it to a migration of its own, or confirm this with the first line \
                           -- premain: no-transaction";
            self.add(Severity::Warning, position, message)?;
        }
        Ok(())
    }
}

/// Surveys what the statements of a script need.
///
/// # Errors
/// The large file can no longer be read.
pub(crate) fn survey(script: &Script) -> Result<Survey, SourceError> {
    script.survey().map_err(|source| unreadable(script, source))
}

/// What can never run in this script.
///
/// # Errors
/// The large file can no longer be read.
pub(crate) fn cannot_run(
    script: &Script,
    survey: &Survey,
    backslash_escapes: bool,
) -> Result<Vec<Finding>, SourceError> {
    let mut lint = Lint::new(script);
    lint.cannot_run(survey, backslash_escapes).map_err(|source| unreadable(script, source))?;
    Ok(lint.findings)
}

/// What is wrong with an up migration as a whole, apart from what can never run: it is still as `premain new` wrote it, or
/// also holds its down migration. Of a migration that is not known to be pending only the newest is still to be filled in.
///
/// # Errors
/// The large file can no longer be read.
pub(crate) fn up(
    source: &Source,
    migration: &Migration,
    is_pending: bool,
) -> Result<Vec<Finding>, SourceError> {
    let script = &migration.up;
    let mut lint = Lint::new(script);
    let is_newest = || {
        let mut versions = source.migrations.iter();
        versions.rfind(|one| !one.version.is_repeatable()) == Some(migration)
    };
    let found = (|| {
        // Other tools write their templates too, and apply them: an older one is applied elsewhere.
        if let Some(is_premains_own) = source.format.is_untouched(script)
            && (is_newest() || is_premains_own && is_pending)
        {
            let message = "it is still as 'premain new' wrote it; fill it in, or remove it";
            return lint.add(Severity::Error, 0, message);
        }
        if let Some((offset, message)) = directions::down_section(script)? {
            let position = script.sql.slice(0..offset)?.chars().count();
            return lint.add(Severity::Error, position, message);
        }
        let tool = source.format.tool();
        if CARRY_OVER.contains(&tool.name)
            && let Some((position, setting)) = left_setting(script)?
        {
            let message = format!(
                "{} carries this {setting} over to the next migration, and premain does not: each migration begins with the \
                 session's own; set it in every file that needs it",
                tool.title
            );
            lint.add(Severity::Warning, position, message)?;
        }
        match directions::drops_its_own(script)? {
            Some((position, message)) => lint.add(Severity::Warning, position, message),
            None => Ok(()),
        }
    })();
    found.map_err(|source| unreadable(script, source))?;
    Ok(lint.findings)
}

/// The tools that keep one session over all migrations of a start, by their names for `--format`.
const CARRY_OVER: [&str; 2] = ["golang-migrate", "goose"];

/// The search path or role that the script leaves in its session: the position in characters of the last statement that sets it.
fn left_setting(script: &Script) -> io::Result<Option<(usize, &'static str)>> {
    let mut left = None;
    let mut reader = Reader::new(script)?;
    while let Some((_, text, position)) = reader.next()? {
        let tokens = splitter::tokens(text).take(5);
        let words: Vec<String> = tokens.map(|(_, at)| text[at].to_ascii_uppercase()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let setting = match words.as_slice() {
            ["SET", "SESSION", "AUTHORIZATION", ..] | ["SET", "ROLE", ..] => "role",
            ["SET", "SESSION", "ROLE", ..] => "role",
            ["SET", "SEARCH_PATH", ..] | ["SET", "SESSION", "SEARCH_PATH", ..] => "search path",
            ["SELECT", ..]
                if text.contains("set_config('search_path'") && text.contains("false") =>
            {
                "search path"
            }
            ["RESET", ..] => "",
            _ => continue,
        };
        let resets =
            setting.is_empty() || words.iter().any(|word| matches!(*word, "DEFAULT" | "NONE"));
        left = (!resets).then_some((position, setting));
    }
    Ok(left)
}

/// Every finding in these migrations.
///
/// # Errors
/// A large file can no longer be read.
pub(crate) fn all(source: &Source) -> Result<Vec<Finding>, SourceError> {
    let mut findings = Vec::new();
    for migration in &source.migrations {
        let found = up(source, migration, false)?;
        let is_invalid = found.iter().any(|finding| finding.severity == Severity::Error);
        findings.extend(found);
        if is_invalid {
            continue;
        }
        for script in [Some(&migration.up), migration.down.as_ref()].into_iter().flatten() {
            let mut lint = Lint::new(script);
            let survey = survey(script)?;
            let linted =
                lint.cannot_run(&survey, false).and_then(|()| match lint.findings.is_empty() {
                    true => lint.surprises(&survey),
                    false => Ok(()),
                });
            linted.map_err(|source| unreadable(script, source))?;
            findings.append(&mut lint.findings);
        }
    }
    if let Some(directory) = &source.directory {
        findings.extend((source.format.tool().lint)(directory, &source.migrations));
    }
    Ok(findings)
}

fn unreadable(script: &Script, source: io::Error) -> SourceError {
    SourceError::Unreadable { path: script.file.clone(), source }
}

/// A finding for every file of a directory that is not UTF-8 or contains a NUL byte: reading the directory stops at the
/// first.
pub(crate) fn encoding(directory: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for entry in WalkDir::new(directory).sort_by_file_name().into_iter().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "sql") || !path.is_file() {
            continue;
        }
        match Text::large(path) {
            Ok(None) => {}
            Err(SourceError::Malformed { why, .. }) => {
                findings.push(Finding::about_file(Severity::Error, path, &why));
                continue;
            }
            Ok(Some(_)) | Err(_) => continue,
        }
        let Ok(bytes) = std::fs::read(path) else { continue };
        let (offset, message) = if let Some(offset) = bytes.iter().position(|byte| *byte == 0) {
            (offset, "a NUL byte, which SQL cannot hold; was the file saved as UTF-16?")
        } else if let Err(error) = std::str::from_utf8(&bytes) {
            (error.valid_up_to(), "this is not UTF-8; save the file as UTF-8")
        } else {
            continue;
        };
        let before = String::from_utf8_lossy(&bytes[..offset]);
        findings.push(Finding {
            severity: Severity::Error,
            file: path.to_owned(),
            location: Some(line_and_column(&before, before.len())),
            message: message.to_owned(),
        });
    }
    findings
}

/// The position of the conflict markers that git leaves in a file, all three of them and in order, in characters.
fn find_conflict(sql: &str) -> Option<usize> {
    let line = |from: usize, marker: &str| {
        let begins = |at: usize| at == 0 || sql[..at].ends_with('\n');
        sql[from..].match_indices(marker).map(|(at, _)| from + at).find(|at| begins(*at))
    };
    let ours = line(0, "<<<<<<< ")?;
    let middle = line(ours, "=======")?;
    line(middle, ">>>>>>> ").map(|_| sql[..ours].chars().count())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;

    fn script(sql: &str) -> Script {
        Script::whole(PathBuf::from("1_a.sql"), sql.to_owned())
    }

    fn findings(sql: &str) -> Vec<String> {
        let script = script(sql);
        let (mut lint, survey) = (Lint::new(&script), survey(&script).unwrap());
        lint.cannot_run(&survey, false).unwrap();
        if lint.findings.is_empty() {
            lint.surprises(&survey).unwrap();
        }
        lint.findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_finding_has_its_location() {
        for (sql, says) in [
            (
                "SELECT 1;\n\\connect other\n",
                "1_a.sql:2:1: error: \\connect is a command of psql's",
            ),
            ("COPY t FROM stdin;\n1\n\\.\n", "1_a.sql:1:1: error: COPY from stdin"),
            (
                "SELECT 1;\n<<<<<<< HEAD\nSELECT 2;\n=======\nSELECT 3;\n>>>>>>> other\n",
                "1_a.sql:2:1: error: a merge conflict",
            ),
            ("-- nothing\n", "1_a.sql:1:1: warning: it holds no statement"),
            ("\u{feff}SELECT 1", "1_a.sql:1:1: warning: it begins with a byte order mark"),
            ("BEGIN;\nSELECT 1;\n  COMMIT;", "1_a.sql:3:3: warning: it ends the transaction"),
            ("SELECT 1;\nCOMMIT AND CHAIN; SELECT 2", "1_a.sql:2:1: warning: AND CHAIN ends"),
            ("SELECT 1;\nROLLBACK; SELECT 2", "1_a.sql:2:1: warning: ROLLBACK undoes"),
            ("SELECT 1;\nROLLBACK;", "1_a.sql:2:1: error: ROLLBACK is the last statement"),
            ("VACUUM; BEGIN; SELECT 1;\nABORT", "1_a.sql:2:1: error: ROLLBACK is the last"),
            ("SELECT 1;\nPREPARE TRANSACTION 'x'", "1_a.sql:2:1: error: PREPARE TRANSACTION"),
            (
                "CREATE TABLE t ();\nVACUUM t;",
                "1_a.sql:2:1: warning: one statement cannot run in a transaction",
            ),
        ] {
            let found = findings(sql);
            assert!(found.iter().any(|found| found.starts_with(says)), "{sql}: {found:?}");
        }
        for sql in [
            "SELECT '\\d', $$\\d$$ -- \\d\n",
            "COPY t FROM '/tmp/x'",
            "CREATE INDEX CONCURRENTLY i ON t (a)",
            "SELECT 1; -- a line\n-- ======= \n",
            "DO $$ BEGIN PERFORM 1; END $$",
            "SAVEPOINT s; SELECT 1; ROLLBACK TO s",
        ] {
            assert_eq!(findings(sql), [""; 0], "{sql}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(sql in "(\u{feff})?([\\\\;'$ä\n ]|COPY|FROM|stdin|BEGIN|VACUUM|<<<<<<< |=======|>>>>>>> ){0,30}") {
            findings(&sql);
        }
    }
}
