//! What applying would send to the server, in order, without sending it.

use super::adoption;
use super::engine::{Say, judge, never_runs, read};
use super::error::Error;
use super::ledger;
use super::source::{Migration, Source};
use super::transaction::{Entry, Transaction};
use crate::config;
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
    config: &config::Migrate,
) -> Result<Preview<'a>, Error> {
    let mut ledger = ledger::of(source.format, config);
    let recorded = read(session, source, ledger.as_mut()).await?;
    let rows = recorded.as_deref().unwrap_or_default();
    let plan = judge(source, rows, ledger.as_ref(), config, Say::Everything)?;
    never_runs(&plan)?;
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
    for step in plan.steps(ledger.rules().but(&config.on_drift)) {
        let mut entries = Vec::new();
        for migration in step {
            entries.push(Entry { migration, record: ledger.record(migration)? });
        }
        let transaction = Transaction::new(&entries, config.ddl_lock_timeout.unwrap_or_default());
        let sql: String =
            transaction.messages.iter().map(|message| message.text.as_str()).collect();
        steps.push((step.to_vec(), sql));
    }
    Ok(Preview { ledger: ledger.table().to_owned(), before, steps, applied: plan.applied })
}
