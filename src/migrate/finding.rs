//! A mistake in the migrations, and where it is.

use std::fmt;
use std::path::{Path, PathBuf};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// It cannot work.
    Error,
    /// It works, but most likely not as it was meant.
    Warning,
}

/// A mistake in the migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// How bad it is.
    pub(crate) severity: Severity,
    /// The file, or the directory, that it is in.
    pub(crate) file: PathBuf,
    /// Line and column, both from 1; `None` if it is about the whole file.
    pub(crate) location: Option<(usize, usize)>,
    /// What is wrong, why, and what to do.
    pub(crate) message: String,
}

impl fmt::Display for Finding {
    /// `migrations/001_a.sql:3:1: error: …`, as compilers write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}: {severity}: {}", self.at(), self.message)
    }
}

impl Finding {
    /// A finding about the whole of `file`.
    pub(crate) fn about_file(
        severity: Severity,
        file: &Path,
        message: impl Into<String>,
    ) -> Finding {
        Finding { severity, file: file.to_owned(), location: None, message: message.into() }
    }

    /// `migrations/001_a.sql:3:1`
    pub(crate) fn at(&self) -> String {
        let file = self.file.display();
        match self.location {
            None => file.to_string(),
            Some((line, column)) => format!("{file}:{line}:{column}"),
        }
    }
}

/// The line and column of a byte offset in `text`, both from 1, the column in characters.
pub(crate) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
