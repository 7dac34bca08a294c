//! `premain wait`: wait for the database and every other target, and do nothing more.

use crate::boot::{self, Goal};
use crate::error::Error;
use crate::exit::Exit;
use crate::hooks::Hooks;

pub(super) async fn run(hooks: &Hooks<'_>) -> Result<Exit, Error> {
    let config = hooks.config;
    if config.database.is_none() && config.wait.targets.is_empty() {
        return Err(Error::NoDatabase("wait"));
    }
    let story = boot::prepare(hooks, Goal::Ready).await?;
    tracing::info!("{story}");
    Ok(Exit::Success)
}
