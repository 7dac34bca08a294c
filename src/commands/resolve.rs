//! `premain resolve`: record the state of a migration that failed halfway, or that was run by hand.

use super::output;
use crate::boot::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::migrate::settings::Resolution;

pub(super) async fn run(context: &Context<'_>, resolution: &Resolution) -> Result<Exit, Error> {
    let done = context.with_migrator("resolve", "recording a migration", async |migrator| {
        Ok(migrator.resolve(resolution).await?)
    });
    let Some(migration) = done.await? else {
        return Ok(output::no_migrations(&context.config.migrate));
    };
    match resolution {
        Resolution::Applied(_) => {
            tracing::info!("migration {migration} recorded as applied, without running it");
        }
        Resolution::RolledBack(_) => {
            tracing::info!("migration {migration} is pending again; 'premain migrate' applies it");
        }
    }
    Ok(Exit::Success)
}
