//! Directories of Drizzle from 1.0 on: one directory per migration, with `migration.sql` and `snapshot.json`.

use std::path::Path;

use crate::migrate::formats::directory::{is_file, read_sql_as_javascript, sorted, subdirectories};
use crate::migrate::formats::drizzle::journal::Journal;
use crate::migrate::formats::drizzle::{BREAKPOINT, CUSTOM, snapshot};
use crate::migrate::formats::scaffold::{Existing, NewFiles};
use crate::migrate::migration::{Migration, Order};
use crate::migrate::source::error::SourceError;
use crate::migrate::sql::Script;
use crate::migrate::version::{LocaleName, Version};

/// Every migration in `directory`. Drizzle ignores directories without a `migration.sql`.
pub(super) fn read(directory: &Path) -> Result<Vec<Migration>, SourceError> {
    let path = Journal::path(directory);
    if is_file(&path)? {
        let why = "Drizzle 1.0 rejects a directory with a journal; run 'drizzle-kit up', or give --format drizzle";
        return Err(SourceError::malformed(&path, why));
    }
    let mut migrations = Vec::new();
    for (name, path) in subdirectories(directory)? {
        let file = path.join("migration.sql");
        if is_file(&file)? {
            migrations.push(Migration {
                version: Version::Name(LocaleName(name.clone())),
                title: name.clone(),
                name,
                order: Order::Strict,
                up: Script::split(file.clone(), read_sql_as_javascript(&file)?, BREAKPOINT)?,
                down: None,
            });
        }
    }
    sorted(migrations)
}

pub(super) fn scaffold(existing: &Existing<'_>) -> Result<NewFiles, SourceError> {
    let directory =
        existing.directory.join(format!("{}_{}", existing.next_timestamp(), existing.title));
    let mut new = NewFiles::one(directory.join("migration.sql"), CUSTOM.to_owned());
    let files = existing.migrations.iter().map(|migration| &migration.up.file);
    let snapshots: Vec<_> = files.map(|file| file.with_file_name("snapshot.json")).collect();
    if let Some(text) = snapshot::continued(&snapshots)? {
        new.files.push((directory.join("snapshot.json"), text));
    }
    Ok(new)
}
