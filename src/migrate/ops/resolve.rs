//! `premain resolve`: records what the user says about a migration that failed halfway.

use std::path::PathBuf;

use crate::migrate::error::Error;
use crate::migrate::migration::{Migration, Order};
use crate::migrate::migrator::Migrator;
use crate::migrate::selector::{Candidate, no_such, select};
use crate::migrate::settings::Resolution;
use crate::migrate::sql::Script;

impl Migrator<'_> {
    /// Records whether a migration is in the database, and returns its title. One that failed halfway is recorded as applied, or made
    /// pending again; a pending one can be recorded as applied.
    ///
    /// # Errors
    /// [`Error`]; nothing was changed then.
    pub(crate) async fn resolve(&self, resolution: &Resolution) -> Result<String, Error> {
        let (Resolution::Applied(wanted) | Resolution::RolledBack(wanted)) = resolution;
        self.lock().await?;
        let history = self.read_history().await?;
        let table = self.table(history.as_ref());
        let recorded = history.as_ref().map_or(&[][..], |history| &history.recorded);
        let files = &self.source.migrations;
        // A name may be known on one side only.
        let known = files.iter().map(Candidate::from).chain(recorded.iter().map(Candidate::from));
        let found = select(known, wanted)?;
        let file = files.iter().find(|file| found.is_some_and(|found| found.is(file)));
        let row =
            recorded.iter().find(|row| found.is_some_and(|found| *found.version == row.version));
        let unresolvable = |migration: String, why| Error::Unresolvable { migration, why };
        let mut statements = Vec::new();
        let resolved = match (resolution, file, row) {
            (_, None, None) => return Err(no_such(wanted, self.source)),
            (_, _, Some(row)) if row.failure.is_none() => {
                let why = match resolution {
                    Resolution::Applied(_) => "it is already recorded as applied",
                    Resolution::RolledBack(_) => {
                        "it did not fail, it is applied; to undo it, run 'premain rollback'"
                    }
                };
                return Err(unresolvable(row.to_string(), why));
            }
            (Resolution::Applied(_), None, Some(row)) => {
                let why = "it has no file, so its checksum is unknown; run this in the image that has the file";
                return Err(unresolvable(row.to_string(), why));
            }
            (Resolution::RolledBack(_), Some(file), None) => {
                let why = "it is not recorded at all, so it is already pending";
                return Err(unresolvable(file.to_string(), why));
            }
            (Resolution::Applied(_), Some(file), row) => {
                self.check_order(table, &self.compare(history.as_ref()), &[file])?;
                statements.extend_from_slice(table.upgrade());
                if row.is_some() {
                    statements.push(table.unrecord(file)?);
                }
                statements.push(table.baseline(file)?);
                file.to_string()
            }
            (Resolution::RolledBack(_), file, Some(row)) => {
                let without_file = Migration {
                    version: row.version.clone(),
                    name: row.name.clone(),
                    title: row.title.clone(),
                    order: Order::Strict,
                    up: Script::whole(PathBuf::new(), String::new()),
                    down: None,
                };
                statements.push(table.unrecord(file.unwrap_or(&without_file))?);
                row.to_string()
            }
        };
        self.write_history(history.is_some(), statements).await?;
        Ok(resolved)
    }
}
