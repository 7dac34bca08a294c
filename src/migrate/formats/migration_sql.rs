//! Distinguishes two tools that have one directory per migration with a `migration.sql` in each: Drizzle from 1.0 on, and
//! Prisma. An image may contain only those files, which neither tool needs more than.

use std::path::{Path, PathBuf};

use super::directory::{is_file, read_sql, subdirectories};
use super::drizzle::BREAKPOINT;
use crate::migrate::source::error::SourceError;

/// Prisma's file that names the kind of database.
pub(super) const LOCK_FILE: &str = "migration_lock.toml";

/// Whether `directory` is Drizzle's.
pub(super) fn is_drizzles(directory: &Path) -> Result<bool, SourceError> {
    let migrations = migrations(directory)?;
    Ok(!migrations.is_empty() && looks_like_drizzle(directory, &migrations)?)
}

/// Whether `directory` is Prisma's.
pub(super) fn is_prismas(directory: &Path) -> Result<bool, SourceError> {
    let migrations = migrations(directory)?;
    Ok(is_file(&directory.join(LOCK_FILE))?
        || !migrations.is_empty() && !looks_like_drizzle(directory, &migrations)?)
}

fn migrations(directory: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let mut migrations = Vec::new();
    for (_, path) in subdirectories(directory)? {
        if is_file(&path.join("migration.sql"))? {
            migrations.push(path);
        }
    }
    Ok(migrations)
}

/// A snapshot is Drizzle's; so are Drizzle's usual name for the directory and its marker between statements, unless Prisma's
/// lock file exists.
fn looks_like_drizzle(directory: &Path, migrations: &[PathBuf]) -> Result<bool, SourceError> {
    let has_snapshot = |migration: &PathBuf| migration.join("snapshot.json").is_file();
    let has_marker = |migration: &PathBuf| {
        read_sql(&migration.join("migration.sql"))
            .is_ok_and(|sql| sql.find_all(BREAKPOINT).is_ok_and(|found| !found.is_empty()))
    };
    Ok(migrations.iter().any(has_snapshot)
        || !is_file(&directory.join(LOCK_FILE))?
            && (directory.ends_with("drizzle") || migrations.iter().any(has_marker)))
}
