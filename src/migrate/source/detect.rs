//! Which tool's folder this is, told from its files.

use std::path::{Path, PathBuf};

use super::{SourceError, drizzle, prisma, subfolders};
use crate::config::Format;

/// The format that the folder's files are in; refinery's where nothing tells.
pub(super) fn format(folder: &Path) -> Result<Format, SourceError> {
    if drizzle::journal(folder).is_file() {
        return Ok(Format::Drizzle);
    }
    let has_migration = |(_, path): &(String, PathBuf)| path.join("migration.sql").is_file();
    if folder.join(prisma::LOCK_FILE).is_file() || subfolders(folder)?.iter().any(has_migration) {
        return Ok(Format::Prisma);
    }
    Ok(Format::Refinery)
}
