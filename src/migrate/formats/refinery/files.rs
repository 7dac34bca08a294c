//! Directories of refinery: `V1__create_users.sql`, `U7__reseed.sql`, at any depth.

use std::path::Path;

use super::file_name::FileName;
use crate::migrate::formats::directory::{read_sql, sorted, sql_files};
use crate::migrate::formats::scaffold::{Existing, NewFiles, comment, number_after};
use crate::migrate::migration::{Migration, Order, title_of_file};
use crate::migrate::source::error::SourceError;
use crate::migrate::sql::Script;
use crate::migrate::version::Version;

/// Every migration below `directory`.
pub(super) fn read(directory: &Path) -> Result<Vec<Migration>, SourceError> {
    let mut migrations = Vec::new();
    for (file_name, path) in sql_files(directory, usize::MAX)? {
        let malformed = |why: &str| SourceError::malformed(&path, why);
        let Some(FileName { free, version, name }) =
            FileName::parse(&file_name).map_err(malformed)?
        else {
            continue;
        };
        migrations.push(Migration {
            version: Version::Number(version),
            name,
            title: title_of_file(&file_name).to_owned(),
            order: if free { Order::Free } else { Order::Strict },
            up: Script::whole(path.clone(), read_sql(&path)?),
            down: None,
        });
    }
    sorted(migrations)
}

/// Whether refinery would use a file below `directory`, or fail on it.
pub(super) fn claims(directory: &Path) -> Result<bool, SourceError> {
    let files = sql_files(directory, usize::MAX)?;
    Ok(files.iter().any(|(name, _)| FileName::parse(name) != Ok(None)))
}

pub(super) fn scaffold(existing: &Existing<'_>) -> NewFiles {
    let newest = existing.newest_file_name().trim_start_matches(['V', 'U']);
    let number = number_after(newest, existing.now, "1");
    let name = format!("V{number}__{}.sql", existing.title);
    NewFiles::one(existing.newest_directory().join(&name), comment(&name))
}
