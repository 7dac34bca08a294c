//! What applying would send to the server, in order, without sending it.

use std::io;
use std::time::Duration;

use super::adoption;
use super::engine::{Say, judge, read, survey};
use super::error::Error;
use super::ledger;
use super::settings::Settings;
use super::source::{Migration, Reader, Source, SourceError};
use super::transaction::{Entry, Transaction, settings};
use crate::database::Session;

/// Everything that is pending, as SQL.
#[derive(Debug)]
pub struct Preview<'a> {
    /// The history table.
    pub ledger: String,
    /// What comes first: creating the history table, or bringing it up to date.
    pub before: Vec<String>,
    /// What is applied together, and the SQL of it with its records.
    pub steps: Vec<(Vec<&'a Migration>, String)>,
    /// How many migrations are applied.
    pub applied: usize,
}

/// What [`super::run`] would do.
///
/// # Errors
/// [`Error`]: what would refuse it.
pub async fn preview<'a>(
    session: &Session,
    source: &'a Source,
    config: &Settings,
) -> Result<Preview<'a>, Error> {
    let mut ledger = ledger::of(source.format, config);
    let recorded = read(session, source, ledger.as_mut()).await?;
    let rows = recorded.as_deref().unwrap_or_default();
    let plan = judge(source, rows, ledger.as_ref(), config, Say::Everything)?;
    let surveys = survey(plan.pending.iter().map(|migration| &migration.up))?;
    let mut before = Vec::new();
    if recorded.is_none() && !plan.pending.is_empty() {
        adoption::check(session, ledger.as_ref()).await?;
        before.extend(session.schema().map(ledger::create_schema));
        before.extend(ledger.create());
    }
    if !plan.pending.is_empty() {
        before.extend_from_slice(ledger.upgrade());
    }
    let mut steps = Vec::new();
    let lock_timeout = config.ddl_lock_timeout.unwrap_or_default();
    for step in plan.steps(ledger.rules().but(&config.on_drift)) {
        let mut entries = Vec::new();
        for migration in step {
            let survey = surveys.get(migration.up.file.as_path());
            entries.push(Entry {
                migration,
                script: &migration.up,
                survey: survey.cloned().unwrap_or_default(),
                record: ledger.record(migration)?,
                attempt: ledger.attempt(migration)?,
            });
        }
        let unreadable = |source| {
            let path = step.first().map(|migration| migration.up.file.clone()).unwrap_or_default();
            Error::Source(SourceError::Unreadable { path, source })
        };
        steps.push((step.to_vec(), sql(&entries, lock_timeout).map_err(unreadable)?));
    }
    Ok(Preview { ledger: ledger.table().to_owned(), before, steps, applied: plan.applied })
}

/// As [`super::apply`] sends it: in one transaction, unless a file takes none.
fn sql(entries: &[Entry<'_>], lock_timeout: Duration) -> io::Result<String> {
    let mut text = String::new();
    if !entries.iter().any(|entry| entry.survey.apart) {
        let transaction = Transaction::new(entries, lock_timeout);
        let mut messages = transaction.messages();
        while let Some(message) = messages.next()? {
            text += &message.text;
        }
        return Ok(text + ";\n");
    }
    for entry in entries {
        let survey = &entry.survey;
        let own = |statement: &str| format!("{statement};\n");
        text += &own(&settings(lock_timeout));
        if !survey.apart {
            text += "BEGIN;\n";
        }
        let attempt = entry.attempt.as_ref().filter(|_| survey.apart && survey.statements > 1);
        text += &attempt.map(|attempt| own(&attempt.begin)).unwrap_or_default();
        let mut reader = Reader::new(entry.script)?;
        while let Some((_, statement, _)) = reader.next()? {
            text += &own(statement);
        }
        text += &own(attempt.map_or(&entry.record, |attempt| &attempt.finish));
        if !survey.apart {
            text += "COMMIT;\n";
        }
    }
    Ok(text)
}
