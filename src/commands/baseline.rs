//! `premain baseline [VERSION]`: record the migrations of an existing database as applied, without
//! running them.

use crate::boot::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::migrate::adoption;

pub(super) async fn run(context: &Context<'_>, until: Option<&str>) -> Result<Exit, Error> {
    let settings = &context.config.migrate;
    let done =
        context.with_migrations("baseline", "recording migrations", async |session, source| {
            let recorded = adoption::baseline(session, source, settings, until).await?;
            Ok((recorded, source.migrations.len()))
        });
    let Some((recorded, total)) = done.await? else { return Ok(super::no_migrations()) };
    for migration in &recorded {
        tracing::info!("migration {migration} recorded as applied, without running it");
    }
    tracing::info!(
        "migrations: {} of {total} recorded; the others stay as they were",
        recorded.len()
    );
    Ok(Exit::Success)
}
