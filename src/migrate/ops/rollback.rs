//! `premain rollback`: selects migrations and runs their down migrations one by one, newest first.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::migrate::error::Error;
use crate::migrate::history::{History, HistoryTable};
use crate::migrate::lint;
use crate::migrate::migration::Migration;
use crate::migrate::migrator::{Log, Migrator};
use crate::migrate::run::message::Task;
use crate::migrate::run::survey;
use crate::migrate::run::transactional::Applier;
use crate::migrate::selector::{no_such, select_file};
use crate::migrate::sql::Survey;
use crate::text;

impl<'a> Migrator<'a> {
    /// The migrations to roll back, newest first: those after `to` (`none` means all of them), or the last one.
    ///
    /// # Errors
    /// [`Error`]: one of them has no down migration, or no file.
    pub(crate) async fn find_rollback(
        &self,
        to: Option<&str>,
    ) -> Result<Vec<&'a Migration>, Error> {
        let history = self.read_history().await?;
        self.to_roll_back(history.as_ref(), to, Log::Warnings)
    }

    /// Rolls back exactly `expected`, which [`Migrator::find_rollback`] found. Returns how long it took.
    ///
    /// # Errors
    /// [`Error`]; the migrations before the one that failed are rolled back.
    pub(crate) async fn rollback(
        &self,
        to: Option<&str>,
        expected: &[&Migration],
    ) -> Result<Duration, Error> {
        self.lock().await?;
        let history = self.read_history_to_migrate().await?;
        let migrations = self.to_roll_back(history.as_ref(), to, Log::Nothing)?;
        if migrations != expected {
            return Err(Error::Overtaken);
        }
        let table = self.table(history.as_ref());
        let started = Instant::now();
        for migration in &migrations {
            let started = Instant::now();
            self.roll_back_one(migration, table).await?;
            tracing::info!(
                "migration {migration} rolled back in {}",
                text::duration(started.elapsed())
            );
        }
        Ok(started.elapsed())
    }

    async fn roll_back_one(
        &self,
        migration: &Migration,
        table: &dyn HistoryTable,
    ) -> Result<(), Error> {
        let Some(down) = &migration.down else { return Ok(()) };
        // There is no second attempt that would keep a lock that the script has released.
        let survey = Survey { releases_locks: true, ..lint::survey(down)? };
        let tasks = [Task::down(migration, down, survey, table)?];
        let outcome = Applier::new(self.session, &self.lock, self.settings).apply(&tasks).await;
        outcome.map_err(|(_, failure)| Error::RollbackFailed {
            migration: migration.to_string(),
            failure: Box::new(failure),
        })
    }

    fn to_roll_back(
        &self,
        history: Option<&History>,
        to: Option<&str>,
        log: Log,
    ) -> Result<Vec<&'a Migration>, Error> {
        self.plan(history, log)?;
        let recorded = history.map(|history| history.recorded.as_slice()).unwrap_or_default();
        let versions: BTreeSet<_> = recorded.iter().map(|row| &row.version).collect();
        let files = &self.source.migrations;
        let applied: Vec<_> =
            files.iter().filter(|file| versions.contains(&file.version)).collect();
        // The migrations after `target` are to be rolled back, except that the last one is its own target.
        let (target, keep) = match to {
            None => (applied.last().copied(), applied.len().saturating_sub(1)),
            Some(wanted) => match select_file(self.source, wanted)? {
                None => (None, 0),
                target => {
                    let at = applied.iter().rposition(|file| Some(*file) == target);
                    let searched = format!("{} that is applied", self.source);
                    (target, at.ok_or_else(|| no_such(wanted, searched))? + 1)
                }
            },
        };
        // A migration without a file has no down migration, and older ones must not be rolled back before it.
        let on_disk: BTreeSet<_> = files.iter().map(|file| &file.version).collect();
        let target = target.map(|file| &file.version);
        let without_file: Vec<_> = recorded
            .iter()
            .filter(|row| Some(&row.version) > target && !on_disk.contains(&row.version))
            .map(ToString::to_string)
            .collect();
        if !without_file.is_empty() {
            return Err(Error::CannotRollBackWithoutFile(without_file));
        }
        let migrations: Vec<_> = applied[keep..].iter().copied().rev().collect();
        let irreversible = migrations.iter().filter(|migration| migration.down.is_none());
        let irreversible: Vec<_> = irreversible.map(ToString::to_string).collect();
        if !irreversible.is_empty() {
            return Err(Error::NoDownMigration(irreversible));
        }
        survey(migrations.iter().filter_map(|migration| migration.down.as_ref()), self.session)?;
        Ok(migrations)
    }
}
