//! Which tool's folder this is, told from its files.

use std::path::Path;

use super::{SourceError, drizzle, prisma, subfolders};
use crate::config::Format;

/// The format that the folder's files are in; refinery's where nothing tells, for what it says of
/// files that are none.
pub(super) fn format(folder: &Path) -> Result<Format, SourceError> {
    let mut found = Vec::new();
    if drizzle::journal(folder).is_file() {
        found.push(Format::Drizzle);
    }
    let mut folders = Vec::new();
    for (_, path) in subfolders(folder)? {
        if path.join("migration.sql").is_file() {
            folders.push(path);
        }
    }
    let has_snapshot = folders.iter().any(|folder| folder.join("snapshot.json").is_file());
    let has_lock_file = folder.join(prisma::LOCK_FILE).is_file();
    if has_snapshot {
        found.push(Format::Drizzle1);
    }
    if has_lock_file || (!folders.is_empty() && !has_snapshot) {
        found.push(Format::Prisma);
    }
    match found.as_slice() {
        [] => Ok(Format::Refinery),
        [format] => Ok(*format),
        [one, other, ..] => {
            Err(SourceError::Mixed { folder: folder.to_owned(), formats: [*one, *other] })
        }
    }
}
