//! `premain rollback`: the ways down of the newest migrations, newest first.

use std::fmt::Write as _;

use super::question;
use crate::boot;
use crate::config::Config;
use crate::error::Error;
use crate::exit::Exit;
use crate::migrate::{self, Migration, Source, rollback};
use crate::shutdown::Shutdown;
use crate::text;

pub(super) async fn run(
    config: &Config,
    to: Option<&str>,
    yes: bool,
    shutdown: &Shutdown,
) -> Result<Exit, Error> {
    if !yes && !question::can_be_asked() {
        return Err(Error::Usage(
            "'premain rollback' asks before it runs anything, and there is no terminal to ask at; \
             give --yes if you are sure"
                .to_owned(),
        ));
    }
    let source = Source::find(&config.migrate).map_err(migrate::Error::from)?;
    let session = boot::connect(config, "rollback", shutdown).await?;
    let Some(source) = source else {
        session.close().await;
        return Ok(super::print(super::NO_MIGRATIONS));
    };
    let migrations = rollback::find(&session, &source, &config.migrate, to).await?;
    if migrations.is_empty() {
        session.close().await;
        tracing::info!("migrations: nothing to roll back");
        return Ok(Exit::Success);
    }
    let count = text::count(migrations.len(), "migration");
    if !yes {
        super::print(&preview(&migrations));
        let question = format!("Roll back {count}? [y/N]");
        if !question::confirmed(&question, &["y", "Y", "yes"], shutdown).await? {
            session.close().await;
            tracing::info!("migrations: nothing was rolled back");
            return Ok(Exit::Success);
        }
    }
    let done = boot::cancellable(session, shutdown, "rolling back", async |session| {
        rollback::run(session, &source, &config.migrate, to, &migrations).await
    });
    let elapsed = done.await??;
    tracing::info!("migrations: {count} rolled back in {}", text::duration(elapsed));
    Ok(Exit::Success)
}

/// What will run, in the order in which it does.
fn preview(migrations: &[&Migration]) -> String {
    let mut text = String::new();
    for migration in migrations {
        let Some(down) = &migration.down else { continue };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "-- migration {migration}: {}", down.file.display());
        let sql = down.sql.here().unwrap_or("-- (too large to be shown)");
        for part in &down.parts {
            let _ = writeln!(text, "{}", sql.get(part.clone()).unwrap_or(sql).trim());
        }
        text.push('\n');
    }
    text
}
