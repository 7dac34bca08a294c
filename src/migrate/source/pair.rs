//! Files of which one leads up and another one down: `1_users.up.sql`, `1_users.down.sql`.

use std::collections::BTreeMap;

use super::{Key, Migration, Script, SourceError};

/// Gives each migration the way down of its version.
pub(super) fn join(
    mut migrations: Vec<Migration>,
    downs: Vec<(Key, Script)>,
) -> Result<Vec<Migration>, SourceError> {
    let numbered = migrations.iter_mut().map(|migration| (migration.key.clone(), migration));
    let mut by_version: BTreeMap<Key, &mut Migration> = numbered.collect();
    for (version, down) in downs {
        let Some(migration) = by_version.get_mut(&version) else {
            tracing::warn!("{} is the way down of no migration here", down.file.display());
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
