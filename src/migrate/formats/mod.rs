//! The migration tools that premain continues, one directory per tool, and detecting which of them a directory of migrations
//! belongs to.

mod checksum;
mod dbmate;
pub(super) mod directory;
mod down_files;
mod drizzle;
mod drizzle1;
mod flyway;
mod golang_migrate;
mod goose;
mod lock_keys;
pub(super) mod markers;
mod migration_sql;
mod plain;
mod prisma;
mod refinery;
pub(crate) mod scaffold;
mod sqlx;
mod table;
mod timestamp;
pub(crate) mod tool;
mod unread;

use std::fmt;
use std::path::Path;

pub(crate) use table::HistoryTableName;
pub(crate) use tool::{KnownBy, Tool};

#[cfg(fuzzing)]
pub(super) use drizzle::journal::Journal;

use super::migration::Migration;
use super::source::error::SourceError;
use super::sql::{Script, Text};
use directory::{read_sql, reject_unread, sql_files};
use markers::Marker;

/// Every tool, in the order in which help and documentation list them, and in which they are asked about a directory.
static TOOLS: &[&Tool] = &[
    &refinery::TOOL,
    &drizzle::TOOL,
    &drizzle1::TOOL,
    &prisma::TOOL,
    &plain::TOOL,
    &sqlx::TOOL,
    &dbmate::TOOL,
    &golang_migrate::TOOL,
    &goose::TOOL,
    &flyway::TOOL,
];

/// The value of `--format`: a tool.
#[derive(Clone, Copy)]
pub(crate) struct Format(&'static Tool);

impl Format {
    /// refinery, which embedded migrations belong to.
    pub(crate) const REFINERY: Format = Format(&refinery::TOOL);
    /// Plain SQL, which a new directory gets.
    pub(crate) const PLAIN: Format = Format(&plain::TOOL);

    /// Every format, in the order of help and documentation.
    pub(crate) fn all() -> impl Iterator<Item = Format> {
        TOOLS.iter().copied().map(Format)
    }

    /// The format of that name.
    ///
    /// # Errors
    /// The valid names.
    pub(crate) fn parse(name: &str) -> Result<Format, String> {
        Format::all()
            .find(|format| format.name() == name)
            .ok_or_else(|| format!("one of {}", Format::names()))
    }

    /// Every name, separated by commas.
    pub(crate) fn names() -> String {
        Format::all().map(Format::name).collect::<Vec<_>>().join(", ")
    }

    /// `golang-migrate`
    pub(crate) fn name(self) -> &'static str {
        self.0.name
    }

    /// The tool itself.
    pub(crate) fn tool(self) -> &'static Tool {
        self.0
    }

    /// Every migration in `directory`, which may be none.
    ///
    /// # Errors
    /// [`SourceError`]: a file cannot be read, or the tool itself would reject it; it looks like a migration and is not
    /// read; or another tool's marker separates the up migration from the down migration, and both would run.
    pub(crate) fn read(self, directory: &Path) -> Result<Vec<Migration>, SourceError> {
        let migrations = (self.0.read)(directory)?;
        reject_unread(directory, self.0, &migrations)?;
        for migration in &migrations {
            self.reject_markers(&migration.up)?;
        }
        Ok(migrations)
    }

    /// Whether it reads nothing in `directory`, whatever else is in it.
    pub(super) fn reads_nothing(self, directory: &Path) -> bool {
        (self.0.read)(directory).is_ok_and(|migrations| migrations.is_empty())
    }

    /// How many migrations `directory` holds, if they are of a format that is detected.
    pub(super) fn count(directory: &Path) -> Option<(Format, usize)> {
        let format = detect(directory).ok()?;
        let migrations = (format.0.read)(directory).ok()?;
        (!migrations.is_empty()).then_some((format, migrations.len()))
    }

    /// Whether `script`, an up migration, still holds what a new file holds; if so, whether only premain writes that.
    pub(super) fn is_untouched(self, script: &Script) -> Option<bool> {
        let name = script.file.file_name()?.to_str()?;
        let template = (self.0.template)(name);
        let sql = script.sql.in_memory()?.replace("\r\n", "\n");
        // golang-migrate's version with a down migration alone has an empty up migration.
        let is_up = !name.ends_with(".down.sql");
        (is_up && sql.trim_end() == template.trim_end()).then(|| template.contains(name))
    }

    /// Rejects a file with a line that only another tool writes.
    fn reject_markers(self, script: &Script) -> Result<(), SourceError> {
        let path = &script.file;
        let mut number = 0;
        let found = script.sql.lines(|at, line| {
            number += 1;
            let marker = markers::parse(line)?;
            let Marker::Of(tool) = marker else { return None };
            let is_ours = tool == self.name()
                || !script.contains(at)
                || script.is_quoted(at + line.len() - line.trim_start().len());
            (!is_ours).then_some((number, tool))
        });
        let Some((line, tool)) = found.map_err(SourceError::unreadable(path))? else {
            return Ok(());
        };
        let remedy = match Format::parse(tool) {
            Ok(format) => format!("give --format {format}"),
            Err(_) => format!(
                "keep only the up migration in it, without {tool}'s markers, or let {tool} migrate"
            ),
        };
        let why = format!(
            "line {line} is a marker of {tool}: {remedy}; as {self} the whole file would run, its down migration included"
        );
        Err(SourceError::malformed(path, why))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Format) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Format {}

/// The format of `directory`, by its files; refinery's if they do not show it, because refinery rejects names that only look
/// like its own.
///
/// # Errors
/// [`SourceError`]: a file cannot be read, or the files are of two formats.
pub(super) fn detect(directory: &Path) -> Result<Format, SourceError> {
    let mut found = claimed(directory, KnownBy::Layout)?;
    // Any of these may also contain numbered files.
    if found.is_empty() {
        found = claimed(directory, KnownBy::FileNames)?;
        // V1__a.sql may be refinery's or Flyway's; Flyway claims the directory only for a name that it alone uses.
        if found.len() > 1 {
            found.retain(|format| *format != Format::REFINERY);
        }
        found.extend(numbered(directory)?);
    }
    match found.as_slice() {
        [] => Ok(Format::REFINERY),
        [format] => Ok(*format),
        [one, other, ..] => Err(SourceError::Mixed {
            directory: directory.to_owned(),
            formats: [one.name(), other.name()],
        }),
    }
}

fn claimed(directory: &Path, known_by: KnownBy) -> Result<Vec<Format>, SourceError> {
    let mut found = Vec::new();
    for format in Format::all().filter(|format| format.0.known_by == known_by) {
        if (format.0.claims)(directory)? {
            found.push(format);
        }
    }
    Ok(found)
}

/// The formats of the files whose names begin with a number: a tool's own markers show it; a file without them is plain SQL,
/// which sqlx's and golang-migrate's files cannot be distinguished from. Drizzle's without their journal are an error.
fn numbered(directory: &Path) -> Result<Vec<Format>, SourceError> {
    let mut found = Vec::new();
    for (name, path) in sql_files(directory, 1)? {
        if !name.starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        // If the file cannot be read, its format will report that.
        let text = read_sql(&path).unwrap_or_else(|_| Text::from(String::new()));
        let claims = |format: &Format| (format.0.claims_file)(&text).unwrap_or(false);
        let format = match Format::all().find(claims) {
            None if plain::is_migration(&name) && drizzle::wrote(directory, &text)? => {
                return Err(drizzle::no_journal(directory));
            }
            None if plain::is_migration(&name) => Format::PLAIN,
            None => continue,
            Some(format) => format,
        };
        if !found.contains(&format) {
            found.push(format);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_tool_is_detected_by_its_files() {
        let both = "of two formats";
        for (files, expected) in [
            (&["meta/_journal.json", "0000_init.sql"][..], "drizzle"),
            (&["20240101000000_a/migration.sql", "20240101000000_a/snapshot.json"], "drizzle1"),
            (&["20240101000000_a/migration.sql"], "prisma"),
            (&["migration_lock.toml"], "prisma"),
            (&["V1__a.sql", "deep/V2__b.sql"], "refinery"),
            (&["deep/V2__b.sql"], "refinery"),
            (&["V1__a.sql", "V1_2__b.sql"], "flyway"),
            (&["deep/V1.2__b.sql"], "flyway"),
            (&["V1__a.sql", "R__views.sql"], "flyway"),
            (&["V1__a.sql", "V1__a.sql.conf"], "flyway"),
            (&["V1__a.sql", "V2__b.sql", "U2__b.sql"], "flyway"),
            (&["001_a.sql", "seeds/data.sql"], "sql"),
            (&["20240101000000_a.up.sql", "20240101000000_a.down.sql"], "sql"),
            (&["readme.txt"], "refinery"),
            (&["V1__a.sql", "002_b.sql"], both),
            (&["meta/_journal.json", "a/migration.sql"], both),
            (&["a/migration.sql", "a/snapshot.json", "migration_lock.toml"], both),
        ] {
            let directory = tempfile::tempdir().unwrap();
            for file in files {
                let path = directory.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
            let found = match detect(directory.path()) {
                Ok(format) => format.to_string(),
                Err(error) => error.to_string(),
            };
            assert!(found.contains(expected), "{files:?} {found}");
        }
    }

    #[test]
    fn numbered_files_are_detected_by_their_markers() {
        for (files, expected) in [
            (&[("1_a.sql", "-- migrate:up"), ("readme.sql", "")][..], "dbmate"),
            (&[("1_a.sql", "-- why\r\n-- +goose Up\r\n")], "goose"),
            (&[("1.sql", "--migrate:up transaction:false")], "dbmate"),
            (&[("1_a.sql", "SELECT '-- migrate:up'")], "sql"),
            (&[("1_a.up.sql", ""), ("1_a.down.sql", "")], "sql"),
            (&[("1_a.sql", "-- migrate:up"), ("2_b.sql", "")], "formats, dbmate and sql"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            for (name, sql) in files {
                fs::write(directory.path().join(name), sql).unwrap();
            }
            let found = match detect(directory.path()) {
                Ok(format) => format.to_string(),
                Err(error) => error.to_string(),
            };
            assert!(found.contains(expected), "{files:?} {found}");
        }
    }

    #[test]
    fn markers_of_other_tools_are_rejected_in_every_format() {
        let rejected = |format: Format, sql: &str| {
            let script = Script::whole("1_a.sql".into(), Text::InMemory(sql.to_owned()));
            format.reject_markers(&script).err().map(|error| error.to_string())
        };
        for (sql, tool, says) in [
            (
                "-- up\n  -- migrate:down transaction:false",
                "dbmate",
                "line 2 is a marker of dbmate: give --format dbmate;",
            ),
            ("--+goose Up", "goose", "line 1 is a marker of goose: give"),
            (
                "SELECT 1;\n-- +migrate Down",
                "",
                "line 2 is a marker of sql-migrate: keep only the up migration",
            ),
        ] {
            for format in Format::all().filter(|format| format.name() != tool) {
                let why = rejected(format, sql).unwrap();
                assert!(why.contains(says), "{format} {sql}: {why}");
            }
            if let Ok(format) = Format::parse(tool) {
                assert_eq!(rejected(format, sql), None, "{sql}");
            }
        }
        for sql in ["-- we migrate:up to you\nSELECT '+goose'", "SELECT '\n-- +goose Down\n'"] {
            assert_eq!(rejected(Format::PLAIN, sql), None, "{sql}");
        }
    }

    const JOURNAL: (&str, &str) =
        ("meta/_journal.json", r#"{"entries": [{"when": 1, "tag": "0000_a"}]}"#);

    /// The names of files, and what they hold.
    type Files = &'static [(&'static str, &'static str)];

    /// A format, a directory, and what is said when it is read; empty if it is valid.
    const DIRECTORIES: &[(&str, Files, &str)] = &[
        ("refinery", &[("V1__a.sql", ""), ("V2__x.rs", "")], "V2__x.rs: it is a migration in Rust"),
        (
            "refinery",
            &[("V1__a.sql", ""), ("deep/V2_b.sql", "")],
            "V2_b.sql: it looks like a migration and is not read: its",
        ),
        ("refinery", &[("V1__a.sql", ""), ("node_modules/x/001.js", "")], ""),
        (
            "refinery",
            &[("2024-01-01-000000_a/up.sql", ""), ("2024-01-01-000000_a/down.sql", "")],
            "diesel",
        ),
        (
            "flyway",
            &[("V1__a.sql", ""), ("B2__b.sql", "")],
            "V1_2__create_users.sql or R__views.sql",
        ),
        (
            "flyway",
            &[
                ("V1__a.sql", ""),
                ("U1__a.sql", ""),
                ("afterMigrate.sql", ""),
                ("V1__a.sql.conf", ""),
            ],
            "",
        ),
        ("sql", &[("001_a.sql", ""), ("002_b.SQL", "")], "002_b.SQL: its ending is not .sql"),
        ("sql", &[("001_a.sql", ""), ("2.sql", "")], "2.sql: it looks like a migration"),
        (
            "sql",
            &[("001_a.sql", ""), ("more/002_b.sql", "")],
            "more: it is not read, and 002_b.sql in it",
        ),
        (
            "sql",
            &[
                ("001_a.sql", ""),
                ("seeds/002_b.sql", ""),
                ("schema.sql", ""),
                ("README.md", ""),
                ("views.sql", ""),
            ],
            "",
        ),
        ("sql", &[("1_a.sql", ""), ("1_a.rollback.sql", "")], "with the ending .down.sql"),
        (
            "golang-migrate",
            &[("1_a.up.sql", ""), ("2_b.up.pgsql", "")],
            "only files that end in .sql",
        ),
        ("goose", &[("1_a.sql", "-- +goose Up\n"), ("00002_b.go", "")], "it is a migration in Go"),
        ("goose", &[("1_a.sql", "-- +goose Up\n"), ("00002_b_test.go", ""), ("embed.go", "")], ""),
        (
            "drizzle",
            &[JOURNAL, ("0000_a.sql", ""), ("0001_b.sql", "")],
            "_journal.json does not name it",
        ),
        (
            "drizzle",
            &[
                JOURNAL,
                ("0000_a.sql", ""),
                ("relations.ts", ""),
                ("schema.ts", ""),
                ("rls.sql", ""),
            ],
            "",
        ),
        ("drizzle", &[("0000_a.sql", "")], "_journal.json: Drizzle's migrations need this file"),
        (
            "drizzle1",
            &[("20240101000000_a/migration.sql", ""), ("20240102000000_b/x.sql", "")],
            "x.sql in it",
        ),
        (
            "drizzle1",
            &[("20240101000000_a/migration.sql", ""), ("0000_b.sql", "")],
            "in a directory of its own",
        ),
        (
            "prisma",
            &[("1_a/migration.sql", ""), ("1_a/down.sql", ""), ("2_b.sql", "")],
            "in a directory of its own",
        ),
        (
            "prisma",
            &[
                ("1_a/migration.sql", ""),
                ("migration_lock.toml", "provider = \"postgresql\""),
                ("README", ""),
            ],
            "",
        ),
    ];

    #[test]
    fn what_looks_like_a_migration_is_read_or_rejected() {
        for (format, files, says) in DIRECTORIES {
            let directory = tempfile::tempdir().unwrap();
            for (file, text) in *files {
                let path = directory.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            let read = Format::parse(format).unwrap().read(directory.path());
            let found = read.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(
                found.contains(says) && found.is_empty() == says.is_empty(),
                "{files:?}: {found}"
            );
        }
    }

    #[test]
    fn files_of_drizzles_without_its_journal_are_not_plain_sql() {
        for (path, files, expected) in [
            ("drizzle", &[("0000_a.sql", "")][..], "meta/_journal.json"),
            ("one", &[("0000_a.sql", ""), ("meta/0000_snapshot.json", "")], "meta/_journal.json"),
            ("two", &[("0000_a.sql", "SELECT 1;--> statement-breakpoint")], "meta/_journal.json"),
            ("three", &[("0000_a.sql", "")], "sql"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            for (file, text) in files {
                let path = directory.path().join(path).join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            let found = match detect(&directory.path().join(path)) {
                Ok(format) => format.to_string(),
                Err(error) => error.to_string(),
            };
            assert!(found.contains(expected), "{files:?} {found}");
        }
    }

    #[test]
    fn drizzle_is_detected_without_its_snapshots() {
        let directory = tempfile::tempdir().unwrap();
        let detected = |path: &str, sql: &str| {
            let migration = directory.path().join(path).join("20240101000000_a");
            fs::create_dir_all(&migration).unwrap();
            fs::write(migration.join("migration.sql"), sql).unwrap();
            detect(&directory.path().join(path)).unwrap().name()
        };
        assert_eq!(detected("drizzle", "SELECT 1"), "drizzle1");
        assert_eq!(detected("one", "SELECT 1;--> statement-breakpoint\nSELECT 2"), "drizzle1");
        assert_eq!(detected("other", "SELECT 1"), "prisma");
    }
}
