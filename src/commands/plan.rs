//! `premain plan`: the SQL that would run, in order, as a script. Changes nothing.

use std::fmt::Write as _;

use serde::Serialize;

use crate::boot::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::migrate::preview::{Preview, preview};
use crate::migrate::{self, Source};

/// The answer in JSON.
#[derive(Serialize)]
struct Answer {
    source: String,
    ledger: String,
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
    let done = context.with_migrations("plan", "planning", async |session, source| {
        let preview = preview(session, source, &config.migrate).await;
        let preview = preview.inspect_err(|error| refused(error, config.status.json))?;
        Ok(if config.status.json {
            super::json(&Answer::new(source, preview))
        } else {
            script(source, &preview)
        })
    });
    Ok(done.await?.map_or_else(super::no_migrations, |text| super::print(&text)))
}

/// Why a start would not get to apply anything.
fn refused(error: &migrate::Error, json: bool) {
    let text = if json {
        super::json(&serde_json::json!({ "refused": error.to_string() }))
    } else {
        commented(&format!("refused: {error}"))
    };
    super::print(&text);
}

impl Answer {
    fn new(source: &Source, preview: Preview<'_>) -> Answer {
        let step = |(migrations, sql): (Vec<&migrate::Migration>, String)| Step {
            migrations: migrations.iter().map(ToString::to_string).collect(),
            files: migrations.iter().map(|file| file.up.file.display().to_string()).collect(),
            sql,
        };
        Answer {
            source: source.to_string(),
            ledger: preview.ledger,
            before: preview.before,
            steps: preview.steps.into_iter().map(step).collect(),
        }
    }
}

/// A script for psql that does the same, but without lock, retries and checks.
fn script(source: &Source, preview: &Preview<'_>) -> String {
    let pending: usize = preview.steps.iter().map(|(migrations, _)| migrations.len()).sum();
    let mut text = commented(&format!(
        "{source}, history table {}\n{pending} of {} migrations pending",
        preview.ledger,
        pending + preview.applied
    ));
    if pending > 0 {
        text += &commented("to run it by hand: psql -X -v ON_ERROR_STOP=1 -f THIS");
    }
    // Writing to a string cannot fail.
    if !preview.before.is_empty() {
        text.push_str("\n-- the history table\n");
    }
    for statement in &preview.before {
        let _ = writeln!(text, "{statement};");
    }
    for (migrations, sql) in &preview.steps {
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
