//! The next migration of a directory: what `premain new` writes, and how its number follows the newest one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use time::UtcDateTime;

use super::timestamp::{milliseconds, timestamp};
use crate::migrate::migration::Migration;

/// A directory that a new migration is written into.
#[derive(Debug)]
pub(crate) struct Existing<'a> {
    /// The directory; it need not exist yet.
    pub(crate) directory: &'a Path,
    /// The migrations in it.
    pub(crate) migrations: &'a [Migration],
    /// The title of the new migration: letters, digits and `_`.
    pub(crate) title: &'a str,
    /// The current time.
    pub(crate) now: UtcDateTime,
}

/// The files that make the next migration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NewFiles {
    /// The new files with their content; the migration itself comes first.
    pub(crate) files: Vec<(PathBuf, String)>,
    /// A file that is overwritten, with its new content: Drizzle's journal.
    pub(crate) journal: Option<(PathBuf, String)>,
}

impl NewFiles {
    /// One file.
    pub(super) fn one(file: PathBuf, content: String) -> NewFiles {
        NewFiles { files: vec![(file, content)], journal: None }
    }

    /// Writes them. Nothing that exists is overwritten, except the journal.
    ///
    /// # Errors
    /// The file that could not be written, and why.
    pub(crate) fn write(&self) -> Result<(), (PathBuf, io::Error)> {
        for (path, text) in &self.files {
            let failed = |error| (path.clone(), error);
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory).map_err(failed)?;
            }
            let mut file = fs::File::create_new(path).map_err(failed)?;
            io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)?;
        }
        match &self.journal {
            None => Ok(()),
            Some((path, text)) => fs::write(path, text).map_err(|error| (path.clone(), error)),
        }
    }
}

impl Existing<'_> {
    /// The newest migration that has a place in the order of versions.
    pub(super) fn newest(&self) -> Option<&Migration> {
        let versions =
            self.migrations.iter().filter(|migration| !migration.version.is_repeatable());
        versions.max_by(|one, other| one.version.cmp(&other.version))
    }

    /// The directory of the newest migration, which may be below the directory itself.
    pub(super) fn newest_directory(&self) -> &Path {
        self.newest().and_then(|newest| newest.up.file.parent()).unwrap_or(self.directory)
    }

    /// New files that follow the newest one: number, separator and title, and each of these endings. `template` returns the
    /// content for a file name.
    pub(super) fn numbered(
        &self,
        first: &str,
        endings: &[&str],
        template: impl Fn(&str) -> String,
    ) -> NewFiles {
        let name = self.newest_file_name();
        let number = number_after(name, self.now, first);
        let after_digits = name.trim_start_matches(|c: char| c.is_ascii_digit());
        let separator = if after_digits.starts_with('-') { '-' } else { '_' };
        let title = match separator {
            '-' => self.title.replace('_', "-"),
            _ => self.title.to_owned(),
        };
        let file = |ending: &&str| {
            let name = format!("{number}{separator}{title}{ending}");
            (self.directory.join(&name), template(&name))
        };
        NewFiles { files: endings.iter().map(file).collect(), journal: None }
    }

    /// The file name of the newest migration; empty if there is none.
    pub(super) fn newest_file_name(&self) -> &str {
        let file = self.newest().and_then(|newest| newest.up.file.file_name());
        file.and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// The time that a new directory's name begins with: now, or a second after the newest directory's.
    pub(super) fn next_timestamp(&self) -> String {
        match self.newest().and_then(|migration| milliseconds(&migration.name)) {
            Some(milliseconds) => timestamp(later(milliseconds, self.now)),
            None => timestamp(self.now),
        }
    }
}

/// What a new file holds if its tool has no template: its own name.
pub(super) fn comment(file_name: &str) -> String {
    format!("-- {file_name}\n")
}

/// `title` as a part of a file name, with letters, digits and `_` only; empty if it contains none.
pub(crate) fn sanitised(title: &str) -> String {
    let mut name = String::new();
    for character in title.chars().flat_map(char::to_lowercase) {
        let kept = if character.is_alphanumeric() { character } else { '_' };
        if kept != '_' || !(name.is_empty() || name.ends_with('_')) {
            name.push(kept);
        }
    }
    let kept: String = name.chars().take(100).collect();
    kept.trim_matches('_').to_owned()
}

/// The number after the one that `newest` begins with, in as many digits; the current time if it is a time; `first` if the name
/// begins with no number.
pub(super) fn number_after(newest: &str, now: UtcDateTime, first: &str) -> String {
    let width = newest.find(|c: char| !c.is_ascii_digit()).unwrap_or(newest.len());
    let digits = &newest[..width];
    let Ok(number) = digits.parse::<i64>() else { return first.to_owned() };
    let next = number.saturating_add(1);
    // Fourteen digits that are a time, or the seconds since 1970.
    match milliseconds(digits) {
        Some(milliseconds) if width == 14 => timestamp(later(milliseconds, now)),
        _ if width == 10 && number > 1_000_000_000 => next.max(now.unix_timestamp()).to_string(),
        _ => format!("{next:0width$}"),
    }
}

/// Now, or a second after `milliseconds` if that is later.
fn later(milliseconds: i64, now: UtcDateTime) -> UtcDateTime {
    let next = UtcDateTime::from_unix_timestamp(milliseconds / 1000 + 1);
    next.map_or(now, |next| next.max(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21 03:00:00
    fn now() -> UtcDateTime {
        UtcDateTime::from_unix_timestamp(1_795_230_000).unwrap()
    }

    #[test]
    fn a_title_is_sanitised_for_file_names() {
        for (title, name) in [
            ("Add orders table", "add_orders_table"),
            ("../../etc/passwd", "etc_passwd"),
            ("  add--größe! ", "add_größe"),
            ("a.sql", "a_sql"),
            ("/", ""),
        ] {
            assert_eq!(sanitised(title), name, "{title}");
        }
        assert_eq!(sanitised(&"x".repeat(500)).len(), 100);
    }

    #[test]
    fn numbers_keep_their_width_and_times_are_times() {
        for (newest, next) in [
            ("001_a.sql", "002"),
            ("0099-a.sql", "0100"),
            ("9_a.sql", "10"),
            ("20240101120000_a.sql", "20261121030000"),
            ("20991231235959_a.sql", "21000101000000"),
            ("1700000000_a.sql", "1795230000"),
        ] {
            assert_eq!(number_after(newest, now(), "1"), next, "{newest}");
        }
        assert_eq!(number_after("", now(), "001"), "001");
    }
}
