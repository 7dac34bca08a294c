//! VERSION arguments: finds the one migration that a number, a name or a file name means.

use super::error::Error;
use super::history::Recorded;
use super::migration::{Migration, title_of_file};
use super::version::Version;

/// What a VERSION may mean: a migration on disk or a recorded one.
pub(super) struct Candidate<'a> {
    version: &'a Version,
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
    /// Whether `wanted` is the file name, with or without its ending.
    fn has_title(&self, wanted: &str) -> bool {
        self.title == wanted || self.title == title_of_file(wanted)
    }

    /// Whether `wanted` is the number, the name or the file name.
    fn is_meant(&self, wanted: &str) -> bool {
        let number: Option<i64> = wanted.parse().ok();
        self.has_title(wanted)
            || [self.name, &self.version.to_string()].contains(&wanted)
            || (number.is_some() && self.version.number() == number)
    }
}

/// The version of the one migration that `wanted` means; `None` if it means none. A migration may be both on disk
/// and recorded.
///
/// # Errors
/// [`Error::AmbiguousMigration`]
pub(super) fn select<'a, T: Into<Candidate<'a>>>(
    migrations: impl IntoIterator<Item = T>,
    wanted: &str,
) -> Result<Option<&'a Version>, Error> {
    let candidates = migrations.into_iter().map(Into::into);
    let mut fitting: Vec<Candidate<'a>> =
        candidates.filter(|candidate| candidate.is_meant(wanted)).collect();
    // A title is unique, so it wins over a name that another migration has, too.
    if fitting.iter().any(|candidate| candidate.has_title(wanted)) {
        fitting.retain(|candidate| candidate.has_title(wanted));
    }
    fitting.sort_by_key(|candidate| candidate.version);
    fitting.dedup_by_key(|candidate| candidate.version);
    match fitting[..] {
        [] => Ok(None),
        [Candidate { version, .. }] => Ok(Some(version)),
        _ => Err(Error::AmbiguousMigration {
            wanted: wanted.to_owned(),
            fitting: fitting.iter().map(|candidate| candidate.title.to_owned()).collect(),
        }),
    }
}
