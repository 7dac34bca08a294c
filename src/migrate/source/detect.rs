//! Which tool's folder this is, told from its files.

use std::path::Path;

use super::drizzle;
use crate::config::Format;

/// The format that the folder's files are in; refinery's where nothing tells.
pub(super) fn format(folder: &Path) -> Format {
    if drizzle::journal(folder).is_file() { Format::Drizzle } else { Format::Refinery }
}
