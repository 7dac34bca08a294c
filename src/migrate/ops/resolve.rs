//! `premain resolve`: records what the user says about a migration that failed halfway.

use crate::migrate::error::Error;
use crate::migrate::history::{Recorded, Row};
use crate::migrate::migration::Migration;
use crate::migrate::migrator::Migrator;
use crate::migrate::selector::{Candidate, no_such, select};
use crate::migrate::settings::Resolution;

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
        let mut rows =
            recorded.iter().filter(|row| found.is_some_and(|found| *found.version == row.version));
        let row = rows.clone().find(|row| row.failure.is_some()).or_else(|| rows.next());
        let stopped = row.and_then(|row| row.failure.as_ref());
        let has = |row| stopped.is_some_and(|stopped| stopped.row == row);
        let unresolvable = |migration: String, why| Error::Unresolvable { migration, why };
        let mut statements = Vec::new();
        let resolved = match (resolution, file, row) {
            (_, None, None) => return Err(no_such(wanted, self.source)),
            (_, _, Some(row)) if stopped.is_none() => {
                let why = match resolution {
                    Resolution::Applied(_) => "it is already recorded as applied",
                    Resolution::RolledBack(_) => {
                        "it did not fail, it is applied; to undo it, run 'premain rollback'"
                    }
                };
                return Err(unresolvable(row.to_string(), why));
            }
            (Resolution::Applied(_), _, Some(row)) if has(Row::Record) => row.to_string(),
            (Resolution::Applied(_), None, Some(row)) => {
                let why = "it has no file, so its checksum is unknown; run this in the image that has the file";
                return Err(unresolvable(row.to_string(), why));
            }
            (Resolution::RolledBack(_), Some(file), None) => {
                let why = "it is not recorded at all, so it is already pending";
                return Err(unresolvable(file.to_string(), why));
            }
            (Resolution::Applied(_), Some(file), _) => {
                self.check_order(table, &self.compare(history.as_ref()), &[file])?;
                statements.extend_from_slice(table.upgrade());
                if has(Row::Mark) {
                    statements.push(table.unrecord(file)?);
                }
                // Its own tool may have applied it meanwhile.
                let is_record = |row: &Recorded| {
                    row.failure.is_none()
                        && row.version == file.version
                        && table.is_unchanged(file, row)
                };
                if !recorded.iter().any(is_record) {
                    statements.push(table.baseline(file)?);
                }
                file.to_string()
            }
            (Resolution::RolledBack(_), file, Some(row)) => {
                if !has(Row::Nothing) {
                    let mut without_file = Migration::without_file(row.version.clone(), &row.title);
                    without_file.name.clone_from(&row.name);
                    statements.push(table.unrecord(file.unwrap_or(&without_file))?);
                }
                row.to_string()
            }
        };
        let marks = table.marks_table();
        let marked = row.filter(|_| stopped.is_some_and(|stopped| stopped.has_mark));
        statements.extend(marked.map(|row| marks.remove(&row.version.to_string())));
        self.write_history(history.is_some(), statements).await?;
        if marked.is_some() {
            marks.clean_up(self.session).await;
        }
        Ok(resolved)
    }
}
