//! `premain status`: what is applied, pending, edited and missing. Touches nothing.

use std::fmt::Write as _;

use serde::Serialize;

use crate::boot;
use crate::config::Config;
use crate::error::Error;
use crate::exit::Exit;
use crate::migrate::plan::{Drift, Plan, Policy, plan};
use crate::migrate::{self, Applied, Key, Migration, Source, engine, ledger};
use crate::shutdown::Shutdown;

/// The whole answer; JSON is exactly this.
#[derive(Debug, Serialize)]
struct Status {
    source: String,
    ledger: String,
    migrations: Vec<Row>,
}

/// One migration, on disk or recorded or both.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(skip)]
    key: Key,
    /// Only where it is a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    name: String,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied_on: Option<String>,
}

/// How a migration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Applied,
    Pending,
    Edited,
    Missing,
    OutOfOrder,
    Ahead,
    Failed,
}

impl State {
    fn text(self) -> &'static str {
        match self {
            State::Applied => "applied",
            State::Pending => "pending",
            State::Edited => "edited",
            State::Missing => "missing",
            State::OutOfOrder => "out of order",
            State::Ahead => "ahead",
            State::Failed => "failed",
        }
    }
}

pub(super) async fn run(config: &Config, shutdown: &Shutdown) -> Result<Exit, Error> {
    let source = Source::find(&config.migrate).map_err(migrate::Error::from)?;
    let session = boot::connect(config, "status", shutdown).await?;
    let Some(source) = source else {
        session.close().await;
        return Ok(super::print(
            "no migrations here: no folder holds any, and none are embedded\n",
        ));
    };
    let mut ledger = ledger::of(source.format, &config.migrate);
    let recorded = engine::recorded(&session, &source, ledger.as_mut()).await?;
    session.close().await;

    let rules = ledger.rules();
    let plan = plan(&source.migrations, &recorded, &rules, |file, row| ledger.unchanged(file, row));
    let status = Status {
        source: source.to_string(),
        ledger: ledger.table().to_owned(),
        migrations: rows(&source, &recorded, &plan),
    };
    if config.status.json {
        super::print(&format!("{}\n", serde_json::to_string_pretty(&status).unwrap_or_default()));
    } else {
        super::print(&table(&status));
        for drift in &plan.drift {
            tracing::warn!("{drift}");
        }
    }
    Ok(if config.status.exit_code { verdict(&plan, rules) } else { Exit::Success })
}

fn rows(source: &Source, recorded: &[Applied], plan: &Plan<'_>) -> Vec<Row> {
    let newest = source.migrations.iter().map(|file| &file.key).max();
    let mut rows: Vec<Row> = source
        .migrations
        .iter()
        .map(|file| Row {
            key: file.key.clone(),
            version: file.key.number(),
            name: file.name.clone(),
            state: state(&file.to_string(), plan, file),
            applied_on: recorded
                .iter()
                .find(|row| row.key == file.key)
                .and_then(|row| row.applied_on.clone()),
        })
        .collect();
    let without_file =
        recorded.iter().filter(|row| source.migrations.iter().all(|file| file.key != row.key));
    rows.extend(without_file.map(|row| Row {
        key: row.key.clone(),
        version: row.key.number(),
        name: row.name.clone(),
        state: match row.failure {
            Some(_) => State::Failed,
            None if Some(&row.key) > newest => State::Ahead,
            None => State::Missing,
        },
        applied_on: row.applied_on.clone(),
    }));
    rows.sort_by(|one, other| one.key.cmp(&other.key));
    rows
}

fn state(title: &str, plan: &Plan<'_>, file: &Migration) -> State {
    let drifted = plan.drift.iter().find_map(|drift| match drift {
        Drift::Edited { migration, .. } if migration == title => Some(State::Edited),
        Drift::OutOfOrder { migration, .. } if migration == title => Some(State::OutOfOrder),
        Drift::Failed { migration, .. } if migration == title => Some(State::Failed),
        _ => None,
    });
    let pending = plan.pending.iter().any(|pending| **pending == *file);
    drifted.unwrap_or(if pending { State::Pending } else { State::Applied })
}

/// 65 for drift that would stop a start, 1 for what is pending, else 0.
fn verdict(plan: &Plan<'_>, rules: migrate::plan::Rules) -> Exit {
    if plan.drift.iter().any(|drift| rules.policy(drift) == Policy::Fail) {
        Exit::Migrations
    } else if plan.pending.is_empty() {
        Exit::Success
    } else {
        Exit::Pending
    }
}

fn table(status: &Status) -> String {
    let name = |row: &Row| row.key.title(&row.name);
    let width = status.migrations.iter().map(|row| name(row).chars().count()).max().unwrap_or(0);
    let mut text = format!("{}, history table {}\n", status.source, status.ledger);
    for row in &status.migrations {
        let applied_on = row.applied_on.as_deref().unwrap_or_default();
        let line = format!("{:width$}  {:12}  {applied_on}", name(row), row.state.text());
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}
