//! `premain baseline [VERSION]`: record the migrations of an existing database as applied, without
//! running them.

use super::output;
use crate::boot::Context;
use crate::error::Error;
use crate::exit::Exit;

pub(super) async fn run(context: &Context<'_>, until: Option<&str>) -> Result<Exit, Error> {
    let done = context.with_migrator("baseline", "recording migrations", async |migrator| {
        let recorded = migrator.baseline(until).await?;
        Ok((recorded, migrator.source().migrations.len()))
    });
    let Some((recorded, total)) = done.await? else {
        return Ok(output::no_migrations(&context.config.migrate));
    };
    for migration in &recorded {
        tracing::info!("migration {migration} recorded as applied, without running it");
    }
    tracing::info!(
        "migrations: {} of {total} recorded; the others stay as they were",
        recorded.len()
    );
    Ok(Exit::Success)
}
