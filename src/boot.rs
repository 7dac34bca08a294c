//! configure → wait → migrate → launch, each raced with shutdown.
use crate::config::{Command, Config};
use crate::exit::Exit;
use crate::launch;
use crate::sys::Inherited;

/// Boots and becomes the application; returns only if that could not be.
pub fn run(config: &Config, inherited: &Inherited) -> Exit {
    let Command::Run(application) = &config.command else { return Exit::Bug };
    let error = launch::exec(&config.launch, application, inherited);
    tracing::error!("{error}");
    error.exit()
}
