//! `premain migrate`: wait, apply what is pending, exit. For CI, Jobs and init containers.

use crate::boot::{self, Context};
use crate::error::Error;
use crate::exit::Exit;

pub(super) async fn run(context: &Context<'_>) -> Result<Exit, Error> {
    if context.config.database.is_none() {
        return Err(Error::NoDatabase("migrate"));
    }
    let summary = boot::migrate(context).await?;
    tracing::info!("{summary}");
    Ok(Exit::Success)
}
