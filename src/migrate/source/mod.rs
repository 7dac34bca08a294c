//! Where migrations come from: a directory, or the binary itself.

mod embedded;
pub(crate) mod error;

use std::fmt;
use std::path::{Path, PathBuf};

use super::formats::{self, Format};
use super::migration::Migration;
use super::settings::{Settings, SourceChoice};
use crate::text;
use error::SourceError;

/// The migrations, and where they were found.
#[derive(Debug)]
pub(crate) struct Source {
    /// The directory; `None` for embedded migrations.
    pub(crate) directory: Option<PathBuf>,
    /// The tool that the directory, and the history table, belong to.
    pub(crate) format: Format,
    /// Oldest first.
    pub(crate) migrations: Vec<Migration>,
}

impl fmt::Display for Source {
    /// `./migrations (refinery, 5 files)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = self.format;
        let files = text::count(self.migrations.len(), "file");
        match &self.directory {
            Some(directory) => write!(f, "{} ({format}, {files})", directory.display()),
            None => write!(f, "embedded ({format}, {files})"),
        }
    }
}

/// The directories that `--migrations auto` reads, relative to the working directory.
pub(crate) const USUAL_DIRECTORIES: [&str; 3] =
    ["./drizzle", "./prisma/migrations", "./migrations"];

/// Other directories that often hold migrations, relative to the working directory. They are only named.
const OTHER_DIRECTORIES: [&str; 18] = [
    "./db/migrations",
    "./db/migrate",
    "./src/db/migrations",
    "./src/migrations",
    "./src/database/migrations",
    "./src/drizzle",
    "./supabase/migrations",
    "./database/migrations",
    "./internal/db/migrations",
    "./internal/database/migrations",
    "./app/migrations",
    "./app/db/migrations",
    "./server/migrations",
    "./migrate/migrations",
    "./sql/migrations",
    "./sql",
    "./db",
    "./src/main/resources/db/migration",
];

impl Source {
    /// Finds the migrations by the settings; `None` if there are none.
    ///
    /// # Errors
    /// [`SourceError`]: an unreadable or malformed directory, or more than one to choose from.
    pub(crate) fn find(settings: &Settings) -> Result<Option<Source>, SourceError> {
        match &settings.source {
            SourceChoice::None => Ok(None),
            SourceChoice::Embedded => {
                Source::embedded().map(Some).ok_or(SourceError::NothingEmbedded)
            }
            SourceChoice::Directory(path) => {
                let source = Source::read(path, settings.format)?;
                Ok((!source.migrations.is_empty()).then_some(source))
            }
            SourceChoice::Auto => {
                let (mut found, mut unread) = (Vec::new(), None);
                for path in USUAL_DIRECTORIES.map(Path::new) {
                    // `is_file` fails for a link to nowhere, for which `is_dir` would be false.
                    if !formats::directory::is_file(path)? && path.is_dir() {
                        let is_anothers =
                            || settings.format.is_some_and(|format| format.reads_nothing(path));
                        match Source::read(path, settings.format) {
                            // `--format` chooses between several.
                            Err(error) if is_anothers() => unread = Some(error),
                            Err(error) => return Err(error),
                            Ok(source) if source.migrations.is_empty() => {}
                            Ok(source) => found.push(source),
                        }
                    }
                }
                match (found.len(), unread) {
                    (0, Some(error)) => Err(error),
                    (0, None) => Ok(Source::embedded()),
                    (1, _) => Ok(found.pop()),
                    _ => Err(SourceError::Ambiguous(
                        found.into_iter().filter_map(|source| source.directory).collect(),
                    )),
                }
            }
        }
    }

    /// Reads the migrations in this directory, which may be none.
    ///
    /// # Errors
    /// [`SourceError`]: it is unreadable or malformed.
    pub(crate) fn read(directory: &Path, format: Option<Format>) -> Result<Source, SourceError> {
        let format = match format {
            Some(format) => format,
            None => formats::detect(directory)?,
        };
        let migrations = format.read(directory)?;
        Ok(Source { directory: Some(directory.to_owned()), format, migrations })
    }

    /// Why [`Source::find`] found nothing: where it looked, which directory does hold migrations, and what to type.
    pub(crate) fn explain_none(settings: &Settings) -> String {
        let looked = match &settings.source {
            SourceChoice::None => return "no migrations: --migrations is none".to_owned(),
            SourceChoice::Directory(path) => format!("{} holds none", path.display()),
            SourceChoice::Auto | SourceChoice::Embedded => {
                let [first, second, third] = USUAL_DIRECTORIES;
                format!("{first}, {second} and {third} hold none, and none are embedded")
            }
        };
        let candidates = USUAL_DIRECTORIES.iter().chain(&OTHER_DIRECTORIES).map(Path::new);
        let found = candidates.filter(|path| path.is_dir()).find_map(|path| {
            let (format, count) = Format::count(path)?;
            let files = text::count(count, "file");
            Some(format!(
                "{0} holds some ({format}, {files}): give --migrations {0}",
                path.display()
            ))
        });
        let found = found.unwrap_or_else(|| "name their directory with --migrations".to_owned());
        format!("no migrations: {looked}; {found}, or --migrations none if there are none")
    }

    /// Logs which other tools' directories look like this one, which was taken for plain SQL; call it before the history
    /// table is created.
    pub(super) fn hint_at_format(&self, settings: &Settings) {
        if settings.format.is_some() || self.format != Format::PLAIN {
            return;
        }
        let is_up =
            |migration: &Migration| migration.up.file.to_string_lossy().ends_with(".up.sql");
        let what = "migrations: taken for plain SQL, recorded in a table that only premain reads";
        match self.migrations.iter().all(is_up) {
            true => tracing::warn!(
                "{what}; golang-migrate's and sqlx's files are named like these: if one of them is to continue, \
                 give --format golang-migrate or --format sqlx, else --format sql"
            ),
            false => tracing::info!("{what}; if sqlx is to continue, give --format sqlx"),
        }
    }

    fn embedded() -> Option<Source> {
        let migrations = embedded::migrations();
        let source = Source { directory: None, format: Format::REFINERY, migrations };
        (!source.migrations.is_empty()).then_some(source)
    }
}
