//! VERSION arguments: finds the one migration that a number, a name or a file name means.

use std::fmt;

use super::error::Error;
use super::history::Recorded;
use super::migration::{Migration, title_of_file};
use super::source::Source;
use super::version::Version;

/// What a VERSION may mean: a migration on disk or a recorded one.
#[derive(Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) version: &'a Version,
    name: &'a str,
    title: &'a str,
}

impl<'a> From<&'a Migration> for Candidate<'a> {
    fn from(Migration { version, name, title, .. }: &'a Migration) -> Self {
        Candidate { version, name, title }
    }
}

impl<'a> From<&'a Recorded> for Candidate<'a> {
    fn from(Recorded { version, name, title, .. }: &'a Recorded) -> Self {
        Candidate { version, name, title }
    }
}

impl Candidate<'_> {
    /// Whether this is the migration of `file`. Two of Drizzle's may have the same version.
    pub(super) fn is(&self, file: &Migration) -> bool {
        (self.version, self.title) == (&file.version, file.title.as_str())
    }

    /// Whether `wanted` is the number or the name.
    fn is_called(&self, wanted: &str) -> bool {
        let number: Option<i64> = wanted.parse().ok();
        [self.name, &self.version.to_string()].contains(&wanted)
            || (number.is_some() && self.version.number() == number)
    }
}

/// The one migration that `wanted` means; `None` if it means none. A migration may be both on disk and recorded.
///
/// # Errors
/// [`Error::AmbiguousMigration`]
pub(super) fn select<'a, T: Into<Candidate<'a>>>(
    migrations: impl IntoIterator<Item = T>,
    wanted: &str,
) -> Result<Option<Candidate<'a>>, Error> {
    let candidates: Vec<Candidate<'a>> = migrations.into_iter().map(Into::into).collect();
    // A title is unique, so it wins over a name that another migration has, too.
    let ways: [&dyn Fn(&Candidate<'a>) -> bool; 3] = [
        &|candidate| candidate.title == wanted,
        &|candidate| candidate.title == title_of_file(wanted),
        &|candidate| candidate.is_called(wanted),
    ];
    let fitting = |fits| candidates.iter().copied().filter(fits).collect::<Vec<_>>();
    let mut found =
        ways.into_iter().map(fitting).find(|found| !found.is_empty()).unwrap_or_default();
    found.sort_by_key(|candidate| (candidate.version, candidate.title));
    found.dedup_by_key(|candidate| (candidate.version, candidate.title));
    match found[..] {
        [] => Ok(None),
        [candidate] => Ok(Some(candidate)),
        _ => {
            let titles: Vec<_> = found.iter().map(|candidate| candidate.title).collect();
            Err(ambiguous(wanted, &titles))
        }
    }
}

/// The migration on disk that `wanted` means; `None` for `none`, which means before all of them.
///
/// # Errors
/// [`Error::AmbiguousMigration`], [`Error::NoSuchMigration`]
pub(super) fn select_file<'a>(
    source: &'a Source,
    wanted: &str,
) -> Result<Option<&'a Migration>, Error> {
    match (select(&source.migrations, wanted)?, wanted) {
        (None, "none") => Ok(None),
        (Some(found), "none") => Err(ambiguous(wanted, &["none at all", found.title])),
        (Some(found), _) => Ok(source.migrations.iter().find(|file| found.is(file))),
        (None, _) => Err(no_such(wanted, source)),
    }
}

/// The error for a VERSION that means no migration of `source`.
pub(super) fn no_such(wanted: &str, source: impl fmt::Display) -> Error {
    Error::NoSuchMigration { wanted: wanted.to_owned(), source: source.to_string() }
}

fn ambiguous(wanted: &str, fitting: &[&str]) -> Error {
    let fitting = fitting.iter().map(ToString::to_string).collect();
    Error::AmbiguousMigration { wanted: wanted.to_owned(), fitting }
}
