//! `premain resolve`: say how a migration stands that failed halfway, or that people ran themselves.

use crate::boot;
use crate::config::Config;
use crate::error::Error;
use crate::exit::Exit;
use crate::migrate::settings::Resolution;
use crate::migrate::{self, Source, adoption};
use crate::shutdown::Shutdown;

pub(super) async fn run(
    config: &Config,
    resolution: &Resolution,
    shutdown: &Shutdown,
) -> Result<Exit, Error> {
    let source = Source::find(&config.migrate).map_err(migrate::Error::from)?;
    let session = boot::connect(config, "resolve", shutdown).await?;
    let Some(source) = source else {
        session.close().await;
        return Ok(super::print(super::NO_MIGRATIONS));
    };
    let resolved = adoption::resolve(&session, &source, &config.migrate, resolution).await?;
    session.close().await;
    match resolution {
        Resolution::Applied(_) => {
            tracing::info!("migration {resolved} recorded as applied, without running it");
        }
        Resolution::RolledBack(_) => {
            tracing::info!("migration {resolved} is pending again; 'premain migrate' applies it");
        }
    }
    Ok(Exit::Success)
}
