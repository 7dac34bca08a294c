//! VERSION arguments: which one migration a person means by a number, a name or a file name.

use super::error::Error;
use super::history::Recorded;
use super::migration::{Migration, title_of_file};
use super::version::Version;

/// What can be meant by a VERSION: a migration on disk or a recorded one.
pub(super) trait Named {
    fn version(&self) -> &Version;
    fn name(&self) -> &str;
    fn title(&self) -> &str;
}

impl Named for &Migration {
    fn version(&self) -> &Version {
        &self.version
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn title(&self) -> &str {
        &self.title
    }
}

impl Named for &Recorded {
    fn version(&self) -> &Version {
        &self.version
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn title(&self) -> &str {
        &self.title
    }
}

/// Whether `wanted` is the number, the name or the file name of `migration`, the file name with or without its ending.
fn is_meant(migration: &impl Named, wanted: &str) -> bool {
    let (version, title) = (migration.version(), migration.title());
    let number = wanted.parse().ok();
    [migration.name(), title, &version.to_string()].contains(&wanted)
        || title == title_of_file(wanted)
        || (number.is_some() && version.number() == number)
}

/// The one migration that `wanted` means; `None` if it means none.
///
/// # Errors
/// [`Error::AmbiguousMigration`]
pub(super) fn select<T: Named>(
    migrations: impl IntoIterator<Item = T>,
    wanted: &str,
) -> Result<Option<T>, Error> {
    let mut fitting: Vec<T> =
        migrations.into_iter().filter(|migration| is_meant(migration, wanted)).collect();
    // A title is unique, so it wins over a name that another migration has, too.
    if fitting.len() > 1
        && fitting.iter().any(|migration| migration.title() == title_of_file(wanted))
    {
        fitting.retain(|migration| migration.title() == title_of_file(wanted));
    }
    match fitting.len() {
        0 | 1 => Ok(fitting.pop()),
        _ => Err(Error::AmbiguousMigration {
            wanted: wanted.to_owned(),
            fitting: fitting.iter().map(|migration| migration.title().to_owned()).collect(),
        }),
    }
}
