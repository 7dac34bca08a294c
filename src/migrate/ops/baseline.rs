//! `premain baseline`: records migrations as applied without running them, so that premain can continue with the others.

use crate::migrate::drift::OutOfOrder;
use crate::migrate::error::Error;
use crate::migrate::history::HistoryTable;
use crate::migrate::migration::Migration;
use crate::migrate::migrator::{Log, Migrator};
use crate::migrate::plan::Plan;
use crate::migrate::selector::select_file;

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
            Some(wanted) => {
                let last = select_file(self.source, wanted)?;
                migrations.iter().rposition(|file| Some(file) == last).map_or(0, |at| at + 1)
            }
        };
        self.lock().await?;
        let history = self.read_history().await?;
        let plan = self.plan(history.as_ref(), Log::Warnings)?;
        let table = self.table(history.as_ref());
        let new: Vec<_> =
            migrations[..count].iter().filter(|file| plan.pending.contains(file)).collect();
        self.check_order(table, &plan, &new)?;
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

    /// Fails if a pending migration would never run once `new` are recorded as applied.
    ///
    /// # Errors
    /// [`Error::WouldNeverRun`]
    pub(super) fn check_order(
        &self,
        table: &dyn HistoryTable,
        plan: &Plan<'_>,
        new: &[&Migration],
    ) -> Result<(), Error> {
        let skips = table.records_only_the_newest() || self.rules.out_of_order == OutOfOrder::Skip;
        let newest = new.iter().max_by_key(|file| &file.version).filter(|_| skips);
        let Some(newest) = newest else { return Ok(()) };
        let skipped = plan
            .pending
            .iter()
            .filter(|file| file.version <= newest.version && !new.contains(file));
        let Some(first) = skipped.clone().next() else { return Ok(()) };
        Err(Error::WouldNeverRun {
            recorded: newest.to_string(),
            first: first.version_argument(),
            pending: skipped.map(ToString::to_string).collect(),
        })
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
