//! `premain status`: what is applied, pending, edited, missing, ahead and failed. Touches nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::boot::Context;
use crate::database::Session;
use crate::error::Error;
use crate::exit::Exit;
use crate::migrate::plan::{Drift, OutOfOrder, Plan, Rules, plan};
use crate::migrate::settings::Policy;
use crate::migrate::{self, Applied, Key, Migration, Source, adoption, engine, ledger};

/// The whole answer; JSON is exactly this.
#[derive(Debug, Serialize)]
struct Status {
    /// The worst of what there is to say.
    state: Verdict,
    /// `./migrations (sql, 3 files)`, for people.
    source: String,
    /// The folder; none where they are embedded.
    folder: Option<String>,
    format: String,
    /// The history table.
    ledger: String,
    migrations: Vec<Row>,
    /// How many migrations are in each state that occurs.
    totals: BTreeMap<State, usize>,
    drift: Vec<Said>,
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
    /// Where it stands; none where there is no file.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// Whether there is a way down.
    down: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied_on: Option<String>,
}

/// One disagreement, in the words of the log.
#[derive(Debug, Serialize)]
struct Said {
    state: State,
    /// What a start would make of it.
    policy: &'static str,
    says: String,
}

/// How a migration stands.
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

/// How the database stands, the best first.
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
            Drift::OutOfOrder { then: OutOfOrder::Skip, .. } => State::Skipped,
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
        super::print(&super::json(&serde_json::json!({ "state": "error", "error": text })));
    }
    answer
}

async fn report(context: &Context<'_>) -> Result<Exit, Error> {
    let config = context.config;
    let read =
        context.with_migrations("status", "reading the history table", async |session, source| {
            read(session, source, &config.migrate).await
        });
    let Some((status, unmanaged)) = read.await? else {
        if config.status.json {
            let none = serde_json::json!({ "state": "up-to-date", "migrations": [] });
            return Ok(super::print(&super::json(&none)));
        }
        return Ok(super::no_migrations());
    };
    if config.status.json {
        super::print(&super::json(&status));
    } else {
        super::print(&table(&status));
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
async fn read(
    session: &Session,
    source: &Source,
    settings: &migrate::Settings,
) -> Result<(Status, Option<migrate::Error>), Error> {
    let mut ledger = ledger::of(source.format, settings);
    let recorded = engine::read(session, source, ledger.as_mut()).await?;
    let unmanaged = match recorded {
        Some(_) => None,
        None => adoption::check(session, ledger.as_ref()).await.err(),
    };
    let recorded = recorded.unwrap_or_default();
    let rules = ledger.rules().but(&settings.on_drift);
    let plan = plan(&source.migrations, &recorded, &rules, |file, row| ledger.unchanged(file, row));
    Ok((Status::new(source, ledger.table(), &recorded, &plan, rules), unmanaged))
}

impl Status {
    fn new(
        source: &Source,
        ledger: &str,
        recorded: &[Applied],
        plan: &Plan<'_>,
        rules: Rules,
    ) -> Status {
        let migrations = rows(source, recorded, plan);
        let mut totals = BTreeMap::new();
        for row in &migrations {
            *totals.entry(row.state).or_default() += 1;
        }
        let said = |drift: &Drift| Said {
            state: State::of(drift),
            policy: rules.policy(drift).name(),
            says: drift.to_string(),
        };
        Status {
            state: verdict(plan, rules),
            source: source.to_string(),
            folder: source.folder.as_ref().map(|folder| folder.display().to_string()),
            format: source.format.to_string(),
            ledger: ledger.to_owned(),
            migrations,
            totals,
            drift: plan.drift.iter().map(said).collect(),
        }
    }
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
            file: Some(file.up.file.display().to_string()),
            down: file.down.is_some(),
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
        file: None,
        down: false,
        applied_on: row.applied_on.clone(),
    }));
    rows.sort_by(|one, other| one.key.cmp(&other.key));
    rows
}

fn state(title: &str, plan: &Plan<'_>, file: &Migration) -> State {
    let drifted = plan.drift.iter().find_map(|drift| match drift {
        Drift::Edited { migration, .. }
        | Drift::OutOfOrder { migration, .. }
        | Drift::Failed { migration, .. }
            if migration == title =>
        {
            Some(State::of(drift))
        }
        _ => None,
    });
    let pending = plan.pending.iter().any(|pending| **pending == *file);
    drifted.unwrap_or(if pending { State::Pending } else { State::Applied })
}

/// What a start would come to.
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
    let name = |row: &Row| row.key.title(&row.name);
    let width = status.migrations.iter().map(|row| name(row).chars().count()).max().unwrap_or(0);
    let mut text = format!("{}, history table {}\n", status.source, status.ledger);
    for row in &status.migrations {
        let applied_on = row.applied_on.as_deref().unwrap_or_default();
        let line = format!("{:width$}  {:12}  {applied_on}", name(row), row.state.text());
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let totals: Vec<_> =
        status.totals.iter().map(|(state, count)| format!("{count} {}", state.text())).collect();
    let _ = writeln!(text, "{}", totals.join(", "));
    text
}
