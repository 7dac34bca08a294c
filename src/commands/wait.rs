//! `premain wait`: wait for the database and every other target, and do nothing more.

use crate::boot::{self, Goal};
use crate::config::Config;
use crate::error::Error;
use crate::exit::Exit;
use crate::shutdown::Shutdown;

pub(super) async fn run(config: &Config, shutdown: &Shutdown) -> Result<Exit, Error> {
    if config.database.is_none() && config.wait.targets.is_empty() {
        return Err(Error::NoDatabase("wait"));
    }
    let story = boot::prepare(config, Goal::Ready, shutdown).await?;
    tracing::info!("{story}");
    Ok(Exit::Success)
}
