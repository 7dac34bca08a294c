//! Why the migrations cannot be read.

use std::io;
use std::path::{Path, PathBuf};

use crate::migrate::version::Version;

/// Why the migrations cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// A directory or file cannot be read.
    #[error("{}: {}", .path.display(), crate::database::reason(.source))]
    Unreadable {
        /// The directory or file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The name or the content of a file is invalid.
    #[error("{}: {why}", .path.display())]
    Malformed {
        /// The directory or file.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// Two files have the same version.
    #[error("{} and {} both have version {version}; {}", .files[0].display(), .files[1].display(), separate(.files))]
    Duplicate {
        /// The version.
        version: Version,
        /// The files.
        files: Box<[PathBuf; 2]>,
    },
    /// Several of the usual directories contain migrations.
    #[error("{} all hold migrations; choose one with --migrations", list(.0))]
    Ambiguous(Vec<PathBuf>),
    /// One directory contains migrations of two tools.
    #[error("{} holds migrations of two formats, {} and {}; keep those of one, or choose with --format", .directory.display(), .formats[0], .formats[1])]
    Mixed {
        /// The directory.
        directory: PathBuf,
        /// The names of the formats.
        formats: [&'static str; 2],
    },
    /// `--migrations embedded`, and the binary has none.
    #[error("this binary embeds no migrations; build it with PREMAIN_EMBED=DIRECTORY")]
    NothingEmbedded,
}

impl SourceError {
    /// For `map_err`: `path` cannot be read.
    pub(crate) fn unreadable(path: &Path) -> impl Fn(io::Error) -> SourceError + Copy {
        move |source| SourceError::Unreadable { path: path.to_owned(), source }
    }

    /// The name or the content of `path` is invalid.
    pub(crate) fn malformed(path: &Path, why: impl Into<String>) -> SourceError {
        SourceError::Malformed { path: path.to_owned(), why: why.into() }
    }
}

/// What to do about two files of one version.
fn separate(files: &[PathBuf; 2]) -> &'static str {
    let is_down = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let mut words = name.split(|c: char| !c.is_alphanumeric());
        words.any(|word| matches!(word, "down" | "undo" | "rollback" | "revert"))
    };
    match files.iter().any(is_down) {
        true => {
            "if one is the down migration of the other, give it the other's name with the ending .down.sql, or remove it"
        }
        false => "give one of them another number",
    }
}

fn list(directories: &[PathBuf]) -> String {
    let names: Vec<_> = directories.iter().map(|path| path.display().to_string()).collect();
    names.join(" and ")
}
