//! One file per subcommand.

mod baseline;
mod health;
mod migrate;
mod status;
mod wait;

use crate::boot;
use crate::config::{Command, Config, cli};
use crate::exit::Exit;
use crate::hooks::Hooks;
use crate::sys::Inherited;

/// Runs `config.command` in this process: `run` becomes the application, the others end.
pub fn run(config: &Config, inherited: &Inherited) -> Exit {
    let outcome = match &config.command {
        Command::Run(application) => return boot::run(config, application, inherited),
        Command::Help => return print(&cli::help()),
        Command::Version => return print(concat!("premain ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Wait => boot::in_runtime(inherited, async |shutdown| {
            wait::run(&Hooks { config, inherited, shutdown }).await
        }),
        Command::Migrate => boot::in_runtime(inherited, async |shutdown| {
            migrate::run(&Hooks { config, inherited, shutdown }).await
        }),
        Command::Baseline(until) => boot::in_runtime(inherited, async |shutdown| {
            baseline::run(config, until.as_deref(), shutdown).await
        }),
        Command::Status => {
            boot::in_runtime(inherited, async |shutdown| status::run(config, shutdown).await)
        }
        Command::Health => health::run(config, inherited),
    };
    outcome.unwrap_or_else(|error| boot::report(&error))
}

/// To standard output; a reader that has gone away (`premain --help | head -1`) is no error.
fn print(text: &str) -> Exit {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
    Exit::Success
}
