//! `premain migrate`: wait, apply what is pending, exit. For CI, Jobs and init containers.

use crate::boot::{self, Goal};
use crate::error::Error;
use crate::exit::Exit;
use crate::hooks::Hooks;

pub(super) async fn run(hooks: &Hooks<'_>) -> Result<Exit, Error> {
    if hooks.config.database.is_none() {
        return Err(Error::NoDatabase("migrate"));
    }
    let story = boot::prepare(hooks, Goal::Migrated).await?;
    tracing::info!("{story}");
    Ok(Exit::Success)
}
