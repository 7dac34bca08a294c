//! `premain wait`: wait for the database and every other target, and do nothing more.

use crate::boot::{self, Context};
use crate::error::Error;
use crate::exit::Exit;

pub(super) async fn run(context: &Context<'_>) -> Result<Exit, Error> {
    let config = context.config;
    if config.database.is_none() && config.wait.targets.is_empty() {
        return Err(Error::NoDatabase("wait"));
    }
    let summary = boot::wait(context).await?;
    tracing::info!("{summary}");
    Ok(Exit::Success)
}
