//! `premain baseline`: records migrations as applied without running them, so that premain can continue with the others.

use crate::migrate::error::Error;
use crate::migrate::migrator::{Log, Migrator};
use crate::migrate::selector::select;

impl Migrator<'_> {
    /// Records the pending migrations up to `until` as applied, or all of them if it is `None`, and runs nothing. Returns
    /// the titles of those that were recorded.
    ///
    /// # Errors
    /// [`Error`]; nothing was recorded then.
    pub(crate) async fn baseline(&self, until: Option<&str>) -> Result<Vec<String>, Error> {
        let migrations = &self.source.migrations;
        let count = match until {
            None => migrations.len(),
            Some("none") => 0,
            Some(wanted) => {
                let last = select(migrations, wanted)?.ok_or_else(|| self.no_such(wanted))?;
                migrations.iter().position(|file| file.version == *last).map_or(0, |at| at + 1)
            }
        };
        self.lock().await?;
        let history = self.read_history().await?;
        let plan = self.plan(history.as_ref(), Log::Warnings)?;
        let table = self.table(history.as_ref());
        let new: Vec<_> =
            migrations[..count].iter().filter(|file| plan.pending.contains(file)).collect();
        let mut statements = Vec::new();
        if !new.is_empty() {
            statements.extend_from_slice(table.upgrade());
        }
        for migration in &new {
            statements.push(table.baseline(migration)?);
        }
        self.write_history(history.is_some(), statements).await?;
        Ok(new.iter().map(ToString::to_string).collect())
    }

    pub(super) fn no_such(&self, wanted: &str) -> Error {
        Error::NoSuchMigration { wanted: wanted.to_owned(), source: self.source.to_string() }
    }

    /// Executes these statements on the history table, all or nothing. Creates the table if it does not exist, even without
    /// statements: with an empty history table, every migration is pending.
    pub(super) async fn write_history(
        &self,
        exists: bool,
        changes: Vec<String>,
    ) -> Result<(), Error> {
        let mut statements = vec!["BEGIN".to_owned()];
        if !exists {
            statements.extend(self.create_statements());
        }
        statements.extend(changes);
        statements.push("COMMIT".to_owned());
        let what = format!("record in the history table {}", self.table.name());
        self.session.execute(&statements.join("; ")).await.map_err(Error::statement(what))
    }
}
