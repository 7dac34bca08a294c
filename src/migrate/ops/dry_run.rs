//! `premain plan`: renders the SQL that applying would send to the server, without sending it.

use std::io;
use std::time::Duration;

use crate::migrate::error::Error;
use crate::migrate::migration::Migration;
use crate::migrate::migrator::{Log, Migrator};
use crate::migrate::run::message::{DISCARD, Task, Transaction, check_and_restore, settings};
use crate::migrate::run::{check, expect_one_transaction, survey};
use crate::migrate::source::error::SourceError;
use crate::migrate::sql::Reader;

/// The SQL of everything that is pending.
#[derive(Debug)]
pub(crate) struct DryRun<'a> {
    /// The name of the history table.
    pub(crate) history_table: String,
    /// The statements before the first migration: they create or upgrade the history table, and make premain's settings.
    pub(crate) before: Vec<String>,
    /// The groups of migrations that are applied together, each with its SQL, records included.
    pub(crate) groups: Vec<(Vec<&'a Migration>, String)>,
    /// How many migrations are applied.
    pub(crate) applied: usize,
}

impl<'a> Migrator<'a> {
    /// What [`Migrator::run`] would do.
    ///
    /// # Errors
    /// [`Error`]: what would stop it.
    pub(crate) async fn dry_run(&self) -> Result<DryRun<'a>, Error> {
        let history = self.read_history().await?;
        let plan = self.plan(history.as_ref(), Log::Warnings)?;
        check(self.source, &plan.pending, Log::Warnings)?;
        let surveys = survey(plan.pending.iter().map(|migration| &migration.up), self.session)?;
        expect_one_transaction(&plan.groups(self.rules), &surveys)?;
        let table = self.table(history.as_ref());
        let mut before = Vec::new();
        let lock_timeout = self.settings.ddl_lock_timeout.unwrap_or_default();
        if !plan.pending.is_empty() {
            if history.is_none() {
                self.history_table_exists().await?;
                before.extend(self.create_statements());
            }
            before.extend_from_slice(table.upgrade());
            before.push(settings(lock_timeout));
        }
        let mut groups = Vec::new();
        for group in plan.groups(self.rules) {
            let mut tasks = Vec::new();
            for migration in group {
                let survey = surveys.get(migration.up.file.as_path()).cloned().unwrap_or_default();
                tasks.push(Task::up(migration, survey, table)?);
            }
            let unreadable = |source| {
                let file = group.first().map(|migration| migration.up.file.clone());
                Error::Source(SourceError::Unreadable { path: file.unwrap_or_default(), source })
            };
            groups.push((group.to_vec(), sql(&tasks, lock_timeout).map_err(unreadable)?));
        }
        let history_table = self.table_name(history.as_ref()).to_owned();
        Ok(DryRun { history_table, before, groups, applied: plan.applied })
    }
}

/// The SQL of these tasks as it is sent: as one script without a transaction, or in one transaction.
fn sql(tasks: &[Task<'_>], lock_timeout: Duration) -> io::Result<String> {
    match tasks {
        [task] if task.survey.no_transaction => without_transaction(task, lock_timeout),
        _ => in_transaction(tasks, lock_timeout),
    }
}

fn in_transaction(tasks: &[Task<'_>], lock_timeout: Duration) -> io::Result<String> {
    let mut text = String::new();
    let transaction = Transaction::new(tasks, None, lock_timeout);
    let mut messages = transaction.messages();
    while let Some(message) = messages.next()? {
        text += &message.text;
    }
    let marks = tasks.iter().find_map(|task| task.marks.as_ref());
    let clean_up = marks.map(|marks| format!("{};\n", marks.table().drop_if_empty()));
    Ok(text + ";\n" + &clean_up.unwrap_or_default())
}

fn without_transaction(task: &Task<'_>, lock_timeout: Duration) -> io::Result<String> {
    let line = |statement: &str| format!("{statement};\n");
    let marks = task.marks.as_ref();
    let mut text = marks.map(|marks| line(marks.start())).unwrap_or_default();
    let mut reader = Reader::new(task.script)?;
    while let Some((_, statement, _)) = reader.next()? {
        text += &line(statement);
    }
    text += &line(&check_and_restore(lock_timeout));
    text += &line(&task.finish());
    let clean_up = marks.map(|marks| line(&marks.table().drop_if_empty())).unwrap_or_default();
    Ok(text + &line("COMMIT") + &line(DISCARD) + &clean_up)
}
