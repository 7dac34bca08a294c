//! Down migrations in files of their own: `1_users.up.sql`, `1_users.down.sql`.

use std::collections::BTreeMap;

use crate::migrate::migration::Migration;
use crate::migrate::source::error::SourceError;
use crate::migrate::sql::Script;
use crate::migrate::version::Version;

/// Gives each migration the down migration of its version.
pub(super) fn join(
    mut migrations: Vec<Migration>,
    downs: Vec<(Version, Script)>,
) -> Result<Vec<Migration>, SourceError> {
    let numbered = migrations.iter_mut().map(|migration| (migration.version.clone(), migration));
    let mut by_version: BTreeMap<Version, &mut Migration> = numbered.collect();
    for (version, down) in downs {
        let Some(migration) = by_version.get_mut(&version) else {
            tracing::warn!(
                "migration {} is ignored: no up migration has its version",
                down.file.display()
            );
            continue;
        };
        if let Some(other) = &migration.down {
            let files = Box::new([other.file.clone(), down.file]);
            return Err(SourceError::Duplicate { version, files });
        }
        migration.down = Some(down);
    }
    Ok(migrations)
}
