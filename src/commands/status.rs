//! `premain status`: what is applied, pending, edited, missing, ahead and failed. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use super::output;
use crate::boot::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::migrate::drift::{Drift, OutOfOrder, Policy, Rules};
use crate::migrate::plan::Plan;
use crate::migrate::{self, Migrator, Recorded, Source, Version};

/// The whole answer; JSON is exactly this.
#[derive(Debug, Serialize)]
struct Status {
    /// The worst state that a migration is in.
    state: Verdict,
    /// `./migrations (sql, 3 files)`
    source: String,
    /// The directory; `null` for embedded migrations.
    folder: Option<String>,
    format: &'static str,
    /// The history table.
    #[serde(rename = "ledger")]
    history_table: String,
    migrations: Vec<Row>,
    /// How many migrations are in each state that occurs.
    totals: BTreeMap<State, usize>,
    drift: Vec<DriftRow>,
}

/// One migration, on disk or recorded or both.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(skip)]
    order: Version,
    /// Only if it is a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    /// What its file is called, without the ending.
    name: String,
    /// What its tool calls it.
    description: String,
    state: State,
    /// Only if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// Whether there is a down migration.
    down: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied_on: Option<String>,
}

/// One disagreement, in the words of the log.
#[derive(Debug, Serialize)]
struct DriftRow {
    state: State,
    /// What a start would do about it.
    policy: &'static str,
    says: String,
}

/// The state of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Applied,
    Pending,
    Edited,
    Missing,
    OutOfOrder,
    Skipped,
    Ahead,
    Failed,
}

/// The state of the database, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    UpToDate,
    Pending,
    Drift,
    Failed,
}

impl Verdict {
    fn exit(self) -> Exit {
        match self {
            Verdict::UpToDate => Exit::Success,
            Verdict::Pending => Exit::Pending,
            Verdict::Drift => Exit::Migrations,
            Verdict::Failed => Exit::Halfway,
        }
    }
}

impl State {
    fn text(self) -> &'static str {
        match self {
            State::Applied => "applied",
            State::Pending => "pending",
            State::Edited => "edited",
            State::Missing => "missing",
            State::OutOfOrder => "out of order",
            State::Skipped => "skipped",
            State::Ahead => "ahead",
            State::Failed => "failed",
        }
    }

    fn of(drift: &Drift) -> State {
        match drift {
            Drift::Edited { .. } => State::Edited,
            Drift::Missing { .. } => State::Missing,
            Drift::OutOfOrder { rule: OutOfOrder::Skip, .. } => State::Skipped,
            Drift::OutOfOrder { .. } => State::OutOfOrder,
            Drift::Ahead { .. } => State::Ahead,
            Drift::Failed { .. } => State::Failed,
        }
    }
}

pub(super) async fn run(context: &Context<'_>) -> Result<Exit, Error> {
    let answer = report(context).await;
    if let (Err(error), true) = (&answer, context.config.status.json) {
        // A program that reads JSON gets the error as JSON, too.
        let text = error.to_string();
        output::print(&output::json(&serde_json::json!({ "state": "error", "error": text })));
    }
    answer
}

async fn report(context: &Context<'_>) -> Result<Exit, Error> {
    let config = context.config;
    let read = context.with_migrator("status", "reading the history table", read);
    let Some((status, unmanaged)) = read.await? else {
        if config.status.json {
            let none = serde_json::json!({ "state": "up-to-date", "migrations": [] });
            return Ok(output::print(&output::json(&none)));
        }
        return Ok(output::no_migrations(&context.config.migrate));
    };
    if config.status.json {
        output::print(&output::json(&status));
    } else {
        output::print(&table(&status));
        for drift in status.drift.iter().filter(|drift| drift.policy != Policy::Ignore.name()) {
            tracing::warn!("{}", drift.says);
        }
    }
    match unmanaged {
        // A start would fail with it.
        Some(error) => Err(error.into()),
        None if config.status.exit_code => Ok(status.state.exit()),
        None => Ok(Exit::Success),
    }
}

/// The answer, and the error if the database holds tables but no history table.
async fn read(migrator: &Migrator<'_>) -> Result<(Status, Option<migrate::Error>), Error> {
    let history = migrator.read_history().await?;
    let unmanaged = match history {
        Some(_) => None,
        None => migrator.history_table_exists().await.err(),
    };
    let plan = migrator.compare(history.as_ref());
    let recorded = history.as_ref().map(|history| history.recorded.as_slice()).unwrap_or_default();
    let table = migrator.table_name(history.as_ref());
    Ok((Status::new(migrator.source(), table, recorded, &plan, migrator.rules()), unmanaged))
}

impl Status {
    fn new(
        source: &Source,
        history_table: &str,
        recorded: &[Recorded],
        plan: &Plan<'_>,
        rules: Rules,
    ) -> Status {
        let migrations = rows(source, recorded, plan);
        let mut totals = BTreeMap::new();
        for row in &migrations {
            *totals.entry(row.state).or_default() += 1;
        }
        let drift_row = |drift: &Drift| DriftRow {
            state: State::of(drift),
            policy: rules.policy(drift).name(),
            says: drift.to_string(),
        };
        Status {
            state: verdict(plan, rules),
            source: source.to_string(),
            folder: source.directory.as_ref().map(|directory| directory.display().to_string()),
            format: source.format.name(),
            history_table: history_table.to_owned(),
            migrations,
            totals,
            drift: plan.drift.iter().map(drift_row).collect(),
        }
    }
}

fn rows(source: &Source, recorded: &[Recorded], plan: &Plan<'_>) -> Vec<Row> {
    let mut states = BTreeMap::new();
    for drift in &plan.drift {
        for title in drift.migrations() {
            states.entry(title.as_str()).or_insert(State::of(drift));
        }
    }
    for file in &plan.pending {
        states.entry(&file.title).or_insert(State::Pending);
    }
    let state = |title: &str| states.get(title).copied().unwrap_or(State::Applied);
    // The first row of a version counts.
    let applied_on: BTreeMap<_, _> =
        recorded.iter().rev().map(|row| (&row.version, &row.applied_on)).collect();
    let on_disk: BTreeSet<_> = source.migrations.iter().map(|file| &file.version).collect();
    let with_file = source.migrations.iter().map(|file| Row {
        order: file.version.clone(),
        version: file.version.number(),
        name: file.title.clone(),
        description: file.name.clone(),
        state: state(&file.title),
        file: Some(file.up.file.display().to_string()),
        down: file.down.is_some(),
        applied_on: applied_on.get(&file.version).copied().cloned().flatten(),
    });
    let without_file = recorded.iter().filter(|row| !on_disk.contains(&row.version));
    let without_file = without_file.map(|row| Row {
        order: row.version.clone(),
        version: row.version.number(),
        name: row.title.clone(),
        description: row.name.clone(),
        state: state(&row.title),
        file: None,
        down: false,
        applied_on: row.applied_on.clone(),
    });
    let mut rows: Vec<Row> = with_file.chain(without_file).collect();
    rows.sort_by(|one, other| one.order.cmp(&other.order));
    rows
}

/// The state of the database, as a start would see it.
fn verdict(plan: &Plan<'_>, rules: Rules) -> Verdict {
    let stops = |drift: &Drift| rules.policy(drift) == Policy::Fail;
    if plan.drift.iter().any(|drift| matches!(drift, Drift::Failed { .. })) {
        Verdict::Failed
    } else if plan.drift.iter().any(stops) {
        Verdict::Drift
    } else if plan.pending.is_empty() {
        Verdict::UpToDate
    } else {
        Verdict::Pending
    }
}

fn table(status: &Status) -> String {
    let width = status.migrations.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let mut text = format!("{}, history table {}\n", status.source, status.history_table);
    for row in &status.migrations {
        let applied_on = row.applied_on.as_deref().unwrap_or_default();
        let line = format!("{:width$}  {:12}  {applied_on}", row.name, row.state.text());
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let totals: Vec<_> =
        status.totals.iter().map(|(state, count)| format!("{count} {}", state.text())).collect();
    let _ = writeln!(text, "{}", totals.join(", "));
    text
}
