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
            SourceChoice::Directory(path) => match Source::read(path, settings.format)? {
                source if source.migrations.is_empty() => Err(SourceError::Empty(path.clone())),
                source => Ok(Some(source)),
            },
            SourceChoice::Auto => {
                let mut found = Vec::new();
                for path in USUAL_DIRECTORIES.map(Path::new) {
                    // `is_file` fails for a link to nowhere, for which `is_dir` would be false.
                    if !formats::directory::is_file(path)? && path.is_dir() {
                        let source = Source::read(path, settings.format)?;
                        found.extend((!source.migrations.is_empty()).then_some(source));
                    }
                }
                match found.len() {
                    0 => Ok(Source::embedded()),
                    1 => Ok(found.pop()),
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

    fn embedded() -> Option<Source> {
        let migrations = embedded::migrations();
        let source = Source { directory: None, format: Format::REFINERY, migrations };
        (!source.migrations.is_empty()).then_some(source)
    }
}
