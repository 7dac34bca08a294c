//! `premain baseline [VERSION]`: adopt a database that has the tables already: record, run nothing.

use crate::boot;
use crate::config::Config;
use crate::error::Error;
use crate::exit::Exit;
use crate::migrate::{self, Source, adoption};
use crate::shutdown::Shutdown;

pub(super) async fn run(
    config: &Config,
    until: Option<&str>,
    shutdown: &Shutdown,
) -> Result<Exit, Error> {
    let source = Source::find(&config.migrate).map_err(migrate::Error::from)?;
    let session = boot::connect(config, "baseline", shutdown).await?;
    let Some(source) = source else {
        session.close().await;
        return Ok(super::print(super::NO_MIGRATIONS));
    };
    let recorded = adoption::baseline(&session, &source, &config.migrate, until).await?;
    session.close().await;
    for migration in &recorded {
        tracing::info!("migration {migration} recorded as applied, without running it");
    }
    let total = source.migrations.len();
    tracing::info!(
        "migrations: {} of {total} recorded; the others stay as they were",
        recorded.len()
    );
    Ok(Exit::Success)
}
