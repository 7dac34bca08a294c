//! `premain plan`: the SQL that would run, in order, as a script. Changes nothing.

use std::fmt::Write as _;

use serde::Serialize;

use super::output;
use crate::boot::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::migrate::ops::dry_run::DryRun;
use crate::migrate::{self, Migration, Source};

/// The answer in JSON.
#[derive(Serialize)]
struct Answer {
    source: String,
    #[serde(rename = "ledger")]
    history_table: String,
    /// The statements that run first: they create or upgrade the history table.
    before: Vec<String>,
    /// One transaction each, except for migrations that run without one.
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    migrations: Vec<String>,
    files: Vec<String>,
    sql: String,
}

pub(super) async fn run(context: &Context<'_>) -> Result<Exit, Error> {
    let config = context.config;
    let done = context.with_migrator("plan", "planning", async |migrator| {
        let dry_run = migrator.dry_run().await;
        let dry_run = dry_run.inspect_err(|error| rejected(error, config.status.json))?;
        Ok(match config.status.json {
            true => output::json(&Answer::new(migrator.source(), dry_run)),
            false => script(migrator.source(), &dry_run),
        })
    });
    Ok(match done.await? {
        Some(text) => output::print(&text),
        None => output::no_migrations(&context.config.migrate),
    })
}

/// What would stop a start before it applies anything.
fn rejected(error: &migrate::Error, json: bool) {
    let text = if json {
        output::json(&serde_json::json!({ "refused": error.to_string() }))
    } else {
        commented(&format!("refused: {error}"))
    };
    output::print(&text);
}

impl Answer {
    fn new(source: &Source, dry_run: DryRun<'_>) -> Answer {
        let step = |(migrations, sql): (Vec<&Migration>, String)| Step {
            migrations: migrations.iter().map(ToString::to_string).collect(),
            files: migrations.iter().map(|file| file.up.file.display().to_string()).collect(),
            sql,
        };
        Answer {
            source: source.to_string(),
            history_table: dry_run.history_table,
            before: dry_run.before,
            steps: dry_run.groups.into_iter().map(step).collect(),
        }
    }
}

/// A script for psql that does the same, but without lock, retries and checks.
fn script(source: &Source, dry_run: &DryRun<'_>) -> String {
    let pending: usize = dry_run.groups.iter().map(|(migrations, _)| migrations.len()).sum();
    let mut text = commented(&format!(
        "{source}, history table {}\n{pending} of {} migrations pending",
        dry_run.history_table,
        pending + dry_run.applied
    ));
    if pending > 0 {
        text += &commented("to run it by hand: psql -X -v ON_ERROR_STOP=1 -f THIS");
    }
    // Writing to a string cannot fail.
    if !dry_run.before.is_empty() {
        text.push_str("\n-- the history table, and the settings of the session\n");
    }
    for statement in &dry_run.before {
        let _ = writeln!(text, "{statement};");
    }
    for (migrations, sql) in &dry_run.groups {
        text.push('\n');
        for migration in migrations {
            text += &commented(&format!("migration {migration}: {}", migration.up.file.display()));
        }
        text += sql;
    }
    text
}

fn commented(text: &str) -> String {
    text.lines().flat_map(|line| ["-- ", line, "\n"]).collect()
}
