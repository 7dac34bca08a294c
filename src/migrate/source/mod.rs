//! Where migrations come from: what is embedded, or a folder.

mod dbmate;
mod detect;
mod drizzle;
mod embedded;
mod files;
mod flyway;
mod golang_migrate;
mod goose;
pub mod next;
mod pair;
mod prisma;
mod refinery;
mod script;
pub(crate) mod spot;
mod sql;
mod sqlx;
mod text;

#[cfg(fuzzing)]
pub(super) use drizzle::parse as parse_journal;
pub(crate) use script::Reader;
pub use script::{Script, Survey};
pub use text::Text;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use files::{
    entries, is_file, is_plain, read_note, read_sql, read_sql_as_javascript, sql_files, subfolders,
    warn_of_name,
};

use super::Key;
use crate::migrate::settings::{Format, Settings, SourceChoice};

/// One migration on disk, or embedded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// What its history table knows it by.
    pub key: Key,
    /// What it is called: `add_orders`.
    pub name: String,
    /// Whether it may be applied behind a newer one.
    pub order: Order,
    /// The way up.
    pub up: Script,
    /// The way down, where the folder has one.
    pub down: Option<Script>,
}

/// Whether a migration may be applied although a newer one is applied already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// No: `V3__name.sql`.
    Strict,
    /// Yes: `U3__name.sql`.
    Free,
}

impl fmt::Display for Migration {
    /// `3 add_orders`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key.title(&self.name))
    }
}

/// Every migration there is, oldest first, and where they were found.
#[derive(Debug)]
pub struct Source {
    /// The folder; `None` for what is embedded.
    pub folder: Option<PathBuf>,
    /// Its layout, and with it the history table's dialect.
    pub format: Format,
    /// Oldest first.
    pub migrations: Vec<Migration>,
}

impl fmt::Display for Source {
    /// `./migrations (refinery, 5 files)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = self.format;
        let files = crate::text::count(self.migrations.len(), "file");
        match &self.folder {
            Some(folder) => write!(f, "{} ({format}, {files})", folder.display()),
            None => write!(f, "embedded ({format}, {files})"),
        }
    }
}

/// Why the migrations cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A folder or file cannot be read.
    #[error("{}: {}", .path.display(), crate::database::reason(.source))]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file's name or content makes no migration.
    #[error("{}: {why}", .path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// Two files claim one version.
    #[error("{} and {} are both version {version}; give one of them another number", .files[0].display(), .files[1].display())]
    Duplicate {
        /// The version.
        version: Key,
        /// The files.
        files: Box<[PathBuf; 2]>,
    },
    /// Several of the usual folders hold migrations.
    #[error("{} all hold migrations; choose one with --migrations", list(.0))]
    Ambiguous(Vec<PathBuf>),
    /// One folder holds migrations of two tools.
    #[error("{} holds migrations of two formats, {} and {}; keep those of one, or choose with --format", .folder.display(), .formats[0], .formats[1])]
    Mixed {
        /// The folder.
        folder: PathBuf,
        /// What its files are.
        formats: [Format; 2],
    },
    /// The folder that was named holds no migration.
    #[error("{} holds no migration; name one like 001_create_users.sql, or give --migrations none", .0.display())]
    Empty(PathBuf),
    /// Embedded migrations were asked for, and there are none.
    #[error("this binary embeds no migrations; it was built with PREMAIN_EMBED=none")]
    NothingEmbedded,
}

fn list(folders: &[PathBuf]) -> String {
    let names: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
    names.join(" and ")
}

/// The folders that `auto` looks into, in the working directory.
pub const USUAL_FOLDERS: [&str; 3] = ["./drizzle", "./prisma/migrations", "./migrations"];

impl Source {
    /// Finds the migrations that `choice` names; `None` where there are none to be had.
    ///
    /// # Errors
    /// [`SourceError`]: an unreadable or malformed folder, or too many of them.
    pub fn find(config: &Settings) -> Result<Option<Source>, SourceError> {
        match &config.source {
            SourceChoice::None => Ok(None),
            SourceChoice::Embedded => {
                embedded::load().map(Some).ok_or(SourceError::NothingEmbedded)
            }
            SourceChoice::Folder(folder) => match Source::folder(folder, config.format)? {
                source if source.migrations.is_empty() => Err(SourceError::Empty(folder.clone())),
                source => Ok(Some(source)),
            },
            SourceChoice::Auto => {
                let mut found = Vec::new();
                for folder in USUAL_FOLDERS.map(Path::new) {
                    // Not one that is a link to nowhere: that is an error.
                    if !is_file(folder)? && folder.is_dir() {
                        let source = Source::folder(folder, config.format)?;
                        found.extend((!source.migrations.is_empty()).then_some(source));
                    }
                }
                match found.len() {
                    0 => Ok(embedded::load()),
                    1 => Ok(found.pop()),
                    _ => Err(SourceError::Ambiguous(
                        found.into_iter().filter_map(|source| source.folder).collect(),
                    )),
                }
            }
        }
    }

    /// Everything in this folder, which may be nothing.
    ///
    /// # Errors
    /// [`SourceError`]: it is unreadable or malformed.
    pub fn folder(folder: &Path, format: Option<Format>) -> Result<Source, SourceError> {
        let format = match format {
            Some(format) => format,
            None => detect::format(folder)?,
        };
        let mut migrations = match format {
            // Drizzle's order is that of its journal.
            Format::Drizzle => {
                let migrations = drizzle::read(folder)?;
                return Ok(Source { folder: Some(folder.to_owned()), format, migrations });
            }
            Format::Drizzle1 => drizzle::read_folders(folder)?,
            Format::Prisma => prisma::read(folder)?,
            Format::Refinery => refinery::read(folder)?,
            Format::Sql => sql::read(folder)?,
            Format::Sqlx => sqlx::read(folder)?,
            Format::Dbmate => dbmate::read(folder)?,
            Format::GolangMigrate => golang_migrate::read(folder)?,
            Format::Goose => goose::read(folder)?,
            Format::Flyway => flyway::read(folder)?,
        };
        migrations.sort_by(|one, other| one.key.cmp(&other.key));
        for pair in migrations.windows(2) {
            if pair[0].key == pair[1].key {
                return Err(SourceError::Duplicate {
                    version: pair[0].key.clone(),
                    files: Box::new([pair[0].up.file.clone(), pair[1].up.file.clone()]),
                });
            }
        }
        Ok(Source { folder: Some(folder.to_owned()), format, migrations })
    }
}
