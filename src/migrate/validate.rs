//! What can be seen of a migration without a database: what can never run, which also stops a
//! migration before anything runs, and what will not do what its author thinks.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::settings::Format;
use super::source::{Migration, Reader, Script, Source, SourceError, Survey, Text, spot};
use super::statements::Kind;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It cannot work.
    Error,
    /// It works, and most likely not as it was meant.
    Warning,
}

/// One thing that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where.
    pub file: PathBuf,
    /// Line and column, where it has a place in the file.
    pub place: Option<(usize, usize)>,
    /// What is wrong, why, and what to do.
    pub what: String,
}

impl fmt::Display for Finding {
    /// `migrations/001_a.sql:3:1: error: …`, as compilers write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}: {severity}: {}", self.at(), self.what)
    }
}

impl Finding {
    /// Of all of a file.
    pub fn file(severity: Severity, file: &Path, what: impl Into<String>) -> Finding {
        Finding { severity, file: file.to_owned(), place: None, what: what.into() }
    }

    /// `migrations/001_a.sql:3:1`
    pub fn at(&self) -> String {
        let file = self.file.display();
        match self.place {
            None => file.to_string(),
            Some((line, column)) => format!("{file}:{line}:{column}"),
        }
    }
}

/// What is wrong in one script, at characters of its text.
struct Judge<'a> {
    script: &'a Script,
    findings: Vec<Finding>,
}

impl<'a> Judge<'a> {
    fn new(script: &'a Script) -> Judge<'a> {
        Judge { script, findings: Vec::new() }
    }

    fn say(
        &mut self,
        severity: Severity,
        position: usize,
        what: impl Into<String>,
    ) -> io::Result<()> {
        let spot = spot::find(&self.script.sql, position)?;
        let place = Some(spot.map_or((1, 1), |spot| (spot.line, spot.column)));
        let file = self.script.file.clone();
        self.findings.push(Finding { severity, file, place, what: what.into() });
        Ok(())
    }

    /// What no server can run, whatever is in the database.
    fn never_runs(&mut self, survey: &Survey) -> io::Result<()> {
        // Nobody merges files of many megabytes by hand.
        if let Some(position) = self.script.sql.here().and_then(conflict) {
            let what = "a merge conflict is not resolved here; choose what stays, and take the markers out";
            return self.say(Severity::Error, position, what);
        }
        if let Some((position, mut what)) = survey.unrunnable.clone() {
            if what.starts_with('\\') {
                what += "; take it out, or write in SQL what it does";
            }
            self.say(Severity::Error, position, what)?;
        }
        Ok(())
    }

    /// What runs, and not as one would think.
    fn surprises(&mut self) -> io::Result<()> {
        let script = self.script;
        let mut statements = Vec::new();
        let mut reader = Reader::new(script)?;
        while let Some((kind, _, position)) = reader.next()? {
            statements.push((position, kind));
        }
        let Some((first, _)) = statements.first().copied() else {
            return self.say(Severity::Warning, 0, "it holds no statement; was it saved?");
        };
        if script.sql.beginning().starts_with('\u{feff}') {
            let what = "it begins with a byte order mark, which premain leaves out and psql and other tools trip over; \
                        save the file as UTF-8 without one";
            self.say(Severity::Warning, 0, what)?;
        }
        let find = |wanted: fn(Kind) -> bool| {
            statements.iter().find(|(_, kind)| wanted(*kind)).map(|(position, _)| *position)
        };
        let apart = !script.transactional || find(Kind::takes_no_transaction).is_some();
        let (begins, ends) = (find(|kind| kind == Kind::Begins), find(|kind| kind == Kind::Ends));
        if let (Some(position), false) = (ends, apart) {
            let what = "it ends the transaction that premain runs it in: what stands before this is kept even if the rest fails; \
                        leave BEGIN and COMMIT out, or split the migration";
            self.say(Severity::Warning, position, what)?;
        } else if let (Some(position), false) = (begins, apart) {
            self.say(
                Severity::Warning,
                position,
                "premain begins a transaction itself; leave this out",
            )?;
        }
        let alone = find(Kind::takes_no_transaction).filter(|_| statements.len() > 1);
        if let (Some(position), true) = (alone, script.transactional) {
            let position = if position == first { statements[1].0 } else { position };
            let what = "a statement that runs in no transaction stands beside others here: they run one by one, \
                        and those before a failure are kept; give it a migration of its own, or say that it is meant so in the first line: \
                        -- premain: no-transaction";
            self.say(Severity::Warning, position, what)?;
        }
        Ok(())
    }
}

/// Goes over a script.
///
/// # Errors
/// Where the file cannot be read any more.
pub fn survey(script: &Script) -> Result<Survey, SourceError> {
    script.survey().map_err(|source| unreadable(script, source))
}

/// What can never run in this script; empty where nothing speaks against it.
///
/// # Errors
/// Where the file cannot be read any more.
pub fn never_runs(script: &Script, survey: &Survey) -> Result<Vec<Finding>, SourceError> {
    let mut judge = Judge::new(script);
    let judged = judge.never_runs(survey);
    judged.map_err(|source| unreadable(script, source))?;
    Ok(judge.findings)
}

/// Everything that is to be said of these migrations.
///
/// # Errors
/// Where a file cannot be read any more.
pub fn all(source: &Source) -> Result<Vec<Finding>, SourceError> {
    let mut findings = Vec::new();
    for migration in &source.migrations {
        for script in [Some(&migration.up), migration.down.as_ref()].into_iter().flatten() {
            let mut judge = Judge::new(script);
            let survey = survey(script)?;
            let judged = judge.never_runs(&survey).and_then(|()| match judge.findings.is_empty() {
                true => judge.surprises(),
                false => Ok(()),
            });
            judged.map_err(|source| unreadable(script, source))?;
            findings.append(&mut judge.findings);
        }
    }
    findings.append(&mut of_folder(source));
    Ok(findings)
}

fn unreadable(script: &Script, source: io::Error) -> SourceError {
    SourceError::Unreadable { path: script.file.clone(), source }
}

/// Both from 1, the column in characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// What keeps the files of a folder from being read as SQL: NUL bytes, and what is not UTF-8. All of
/// them, where reading the folder stops at the first.
pub fn encoding(folder: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for entry in WalkDir::new(folder).sort_by_file_name().into_iter().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "sql") || !path.is_file() {
            continue;
        }
        match Text::large(path) {
            Ok(None) => {}
            Err(SourceError::Malformed { why, .. }) => {
                findings.push(Finding::file(Severity::Error, path, &why));
                continue;
            }
            Ok(Some(_)) | Err(_) => continue,
        }
        let Ok(bytes) = std::fs::read(path) else { continue };
        let mut say = |offset: usize, what: &str| {
            let before = String::from_utf8_lossy(&bytes[..offset]);
            let place = Some(line_and_column(&before, before.len()));
            let file = path.to_owned();
            findings.push(Finding {
                severity: Severity::Error,
                file,
                place,
                what: what.to_owned(),
            });
        };
        if let Some(offset) = bytes.iter().position(|byte| *byte == 0) {
            say(offset, "a NUL byte, which SQL cannot hold; was the file saved as UTF-16?");
        } else if let Err(error) = std::str::from_utf8(&bytes) {
            say(error.valid_up_to(), "this is not UTF-8; save the file as UTF-8");
        }
    }
    findings
}

/// What is odd about the folder as such.
fn of_folder(source: &Source) -> Vec<Finding> {
    let Some(folder) = &source.folder else { return Vec::new() };
    let mut findings = Vec::new();
    match source.format {
        Format::Prisma => {
            let lock_file = folder.join("migration_lock.toml");
            if !lock_file.is_file() {
                let what = "it is missing; Prisma wants it under version control, with the line provider = \"postgresql\"";
                findings.push(Finding::file(Severity::Warning, &lock_file, what));
            }
        }
        Format::Drizzle => findings.append(&mut of_journal(folder, &source.migrations)),
        _ => {}
    }
    findings
}

/// Drizzle applies an entry only if its `when` is above that of the last one that is applied.
fn of_journal(folder: &Path, migrations: &[Migration]) -> Vec<Finding> {
    let path = folder.join("meta/_journal.json");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let mut findings = Vec::new();
    let mut say = |needle: String, what: String| {
        let place = text.find(&needle).map(|offset| line_and_column(&text, offset));
        let file = path.clone();
        findings.push(Finding { severity: Severity::Warning, file, place, what });
    };
    let mut latest: Option<&Migration> = None;
    for migration in migrations {
        let tag = || format!("\"{}\"", migration.name);
        match latest {
            Some(before) if migration.key == before.key => say(
                tag(),
                format!(
                    "{} has the 'when' of {}: once either is applied, Drizzle never applies the other; give it a higher one",
                    migration.name, before.name
                ),
            ),
            Some(before) if migration.key < before.key => say(
                tag(),
                format!(
                    "{} has a 'when' before that of {}, which stands above it: where that one is applied, Drizzle never applies this one; give it a higher one",
                    migration.name, before.name
                ),
            ),
            _ => latest = Some(migration),
        }
    }
    let journal: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let entries = journal["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (at, entry) in entries.iter().enumerate() {
        let tag = entry["tag"].as_str().unwrap_or_default();
        let twin = |field: &str| {
            entries[..at]
                .iter()
                .find(|other| other[field] == entry[field] && !entry[field].is_null())
        };
        if twin("tag").is_some() {
            say(
                format!("\"{tag}\""),
                format!("{tag} is named twice, and applied twice; take one entry out"),
            );
        } else if let Some(other) = twin("idx") {
            let other = other["tag"].as_str().unwrap_or_default();
            say(
                format!("\"{tag}\""),
                format!(
                    "{tag} has the idx of {other}, which drizzle-kit takes for a conflict; number the entries in their order"
                ),
            );
        }
    }
    findings
}

/// Where the markers begin that git leaves in a file, all three of them and in order, in characters.
fn conflict(sql: &str) -> Option<usize> {
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
    use proptest::prelude::*;

    use super::*;

    fn script(sql: &str) -> Script {
        Script::whole(PathBuf::from("1_a.sql"), sql.to_owned())
    }

    fn findings(sql: &str) -> Vec<String> {
        let script = script(sql);
        let mut judge = Judge::new(&script);
        judge.never_runs(&survey(&script).unwrap()).unwrap();
        if judge.findings.is_empty() {
            judge.surprises().unwrap();
        }
        judge.findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_at_its_place() {
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
            ("CREATE TABLE t ();\nVACUUM t;", "1_a.sql:2:1: warning: a statement that runs in no"),
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
        ] {
            assert_eq!(findings(sql), [""; 0], "{sql}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(sql in "(\u{feff})?([\\\\;'$ä\n ]|COPY|FROM|stdin|BEGIN|VACUUM|<<<<<<< |=======|>>>>>>> ){0,30}") {
            findings(&sql);
        }
    }
}
