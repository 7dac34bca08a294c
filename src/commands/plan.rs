//! `premain plan`: the SQL that would run, in order, as a script. Touches nothing.

use std::fmt::Write as _;

use serde::Serialize;

use crate::boot;
use crate::config::Config;
use crate::error::Error;
use crate::exit::Exit;
use crate::migrate::preview::{Preview, preview};
use crate::migrate::{self, Source};
use crate::shutdown::Shutdown;

/// The same for programs.
#[derive(Serialize)]
struct Answer {
    source: String,
    ledger: String,
    /// The statements that come first.
    before: Vec<String>,
    /// All or nothing each.
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    migrations: Vec<String>,
    files: Vec<String>,
    sql: String,
}

pub(super) async fn run(config: &Config, shutdown: &Shutdown) -> Result<Exit, Error> {
    let source = Source::find(&config.migrate).map_err(migrate::Error::from)?;
    let session = boot::connect(config, "plan", shutdown).await?;
    let Some(source) = source else {
        session.close().await;
        return Ok(super::print(super::NO_MIGRATIONS));
    };
    let preview = preview(&session, &source, &config.migrate).await;
    session.close().await;
    let preview = match preview {
        Ok(preview) => preview,
        Err(error) => {
            if config.status.json {
                super::print_json(&serde_json::json!({ "refused": error.to_string() }));
            } else {
                super::print(&commented(&format!("refused: {error}")));
            }
            return Err(error.into());
        }
    };
    if config.status.json {
        super::print_json(&Answer::new(&source, preview));
    } else {
        super::print(&script(&source, &preview));
    }
    Ok(Exit::Success)
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

/// A script for psql that does the same, short of the lock, the retries and the look again.
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
