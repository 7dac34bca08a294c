//! `premain wait`: wait for the database and every other target, and do nothing more.

use crate::boot;
use crate::config::{Config, Migrate, SourceChoice};
use crate::error::Error;
use crate::exit::Exit;
use crate::shutdown::Shutdown;

pub(super) async fn run(config: &Config, shutdown: &Shutdown) -> Result<Exit, Error> {
    if config.database.is_none() && config.wait.targets.is_empty() {
        return Err(Error::NoDatabase("wait"));
    }
    let nothing = Migrate { source: SourceChoice::None, ..config.migrate.clone() };
    let config = Config { migrate: nothing, ..config.clone() };
    let story = boot::prepare(&config, shutdown).await?;
    tracing::info!("{story}");
    Ok(Exit::Success)
}
