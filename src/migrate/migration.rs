//! A migration on disk, or embedded in the binary.

use std::fmt;
use std::path::PathBuf;

use super::sql::Script;
use super::version::Version;

/// A migration on disk, or embedded in the binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Migration {
    /// Its key in the history table.
    pub(crate) version: Version,
    /// What its tool calls it: `add_orders`.
    pub(crate) name: String,
    /// What people call it: its file or directory, without the ending: `V3__add_orders`.
    pub(crate) title: String,
    /// Whether it may be applied after a newer one.
    pub(crate) order: Order,
    /// The up migration.
    pub(crate) up: Script,
    /// The down migration, if there is one.
    pub(crate) down: Option<Script>,
}

impl Migration {
    /// A migration that is recorded, but has no file.
    pub(super) fn without_file(version: Version, title: &str) -> Migration {
        Migration {
            version,
            name: title.to_owned(),
            title: title.to_owned(),
            order: Order::Strict,
            up: Script::whole(PathBuf::new(), String::new()),
            down: None,
        }
    }

    /// What to type as VERSION: the number if there is one, otherwise the title.
    pub(crate) fn version_argument(&self) -> String {
        self.version.number().map_or_else(|| self.title.clone(), |number| number.to_string())
    }
}

/// Whether a migration may be applied although a newer one is already applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// No: `V3__name.sql`.
    Strict,
    /// Yes: `U3__name.sql`.
    Free,
}

impl fmt::Display for Migration {
    /// `V3__add_orders`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)
    }
}

/// A file name without `.sql`, and without `.up` or `.down` before it: what people call the migration.
pub(crate) fn title_of_file(file_name: &str) -> &str {
    let stem = file_name.strip_suffix(".sql").unwrap_or(file_name);
    stem.strip_suffix(".up").or_else(|| stem.strip_suffix(".down")).unwrap_or(stem)
}
