//! `premain rollback`: run the down migrations of the newest migrations, newest first.

use std::fmt::Write as _;

use super::{output, question};
use crate::boot::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::migrate::{Migration, Migrator};
use crate::text;

pub(super) async fn run(context: &Context<'_>, to: Option<&str>, yes: bool) -> Result<Exit, Error> {
    if !yes && !question::can_be_asked() {
        return Err(Error::Usage(
            "'premain rollback' asks before it runs anything, and there is no terminal to ask at; \
             give --yes if you are sure"
                .to_owned(),
        ));
    }
    let done = context.with_migrator("rollback", "rolling back", async |migrator| {
        roll_back(context, migrator, to, yes).await
    });
    match done.await? {
        Some(outcome) => tracing::info!("migrations: {outcome}"),
        None => return Ok(output::no_migrations(&context.config.migrate)),
    }
    Ok(Exit::Success)
}

/// Returns what was done, in words.
async fn roll_back(
    context: &Context<'_>,
    migrator: &Migrator<'_>,
    to: Option<&str>,
    yes: bool,
) -> Result<String, Error> {
    let migrations = migrator.find_rollback(to).await?;
    if migrations.is_empty() {
        return Ok("nothing to roll back".to_owned());
    }
    let count = text::count(migrations.len(), "migration");
    if !yes {
        output::print(&preview(&migrations));
        let question = format!("Roll back {count}? [y/N]");
        if !question::confirmed(&question, &["y", "Y", "yes"], context.shutdown).await? {
            return Ok("nothing was rolled back".to_owned());
        }
    }
    let elapsed = migrator.rollback(to, &migrations).await?;
    Ok(format!("{count} rolled back in {}", text::duration(elapsed)))
}

/// The SQL that will run, in order.
fn preview(migrations: &[&Migration]) -> String {
    let mut text = String::new();
    for migration in migrations {
        let Some(down) = &migration.down else { continue };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "-- migration {migration}: {}", down.file.display());
        let sql = down.sql.in_memory().unwrap_or("-- (too large to be shown)");
        for part in &down.parts {
            let _ = writeln!(text, "{}", sql.get(part.clone()).unwrap_or(sql).trim());
        }
        text.push('\n');
    }
    text
}
