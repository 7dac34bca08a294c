//! `premain migrate`: wait, apply what is pending, exit. For CI, Jobs and init containers.

use crate::boot::{self, Goal};
use crate::config::Config;
use crate::error::Error;
use crate::exit::Exit;
use crate::shutdown::Shutdown;

pub(super) async fn run(config: &Config, shutdown: &Shutdown) -> Result<Exit, Error> {
    if config.database.is_none() {
        return Err(Error::NoDatabase("migrate"));
    }
    let story = boot::prepare(config, Goal::Migrated, shutdown).await?;
    tracing::info!("{story}");
    Ok(Exit::Success)
}
