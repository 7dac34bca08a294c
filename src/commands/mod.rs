//! One file per subcommand.

mod baseline;
mod completions;
mod health;
mod migrate;
mod new;
mod plan;
mod question;
mod reset;
mod resolve;
mod rollback;
mod status;
mod validate;
mod wait;

use serde::Serialize;

use crate::boot;
use crate::config::{Command, Config, cli};
use crate::error::Error;
use crate::exit::Exit;
use crate::hooks::Hooks;
use crate::sys::Inherited;

/// What the commands say that look for migrations and find none.
const NO_MIGRATIONS: &str = "no migrations here: no folder holds any, and none are embedded\n";

/// Runs `config.command` in this process: `run` becomes the application, the others end.
pub fn run(config: &Config, inherited: &Inherited) -> Exit {
    let outcome = match &config.command {
        Command::Run(application) => return boot::run(config, application, inherited),
        Command::Help => return print(&cli::help()),
        Command::Version => return print(concat!("premain ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Completions(shell) => return print(&completions::script(*shell)),
        Command::Health => health::run(config, inherited),
        Command::New(title) => new::run(config, title),
        Command::Validate => validate::run(config),
        session => boot::in_runtime(inherited, async |shutdown| {
            with_database(&Hooks { config, inherited, shutdown }, session).await
        }),
    };
    outcome.unwrap_or_else(|error| boot::report(&error))
}

async fn with_database(hooks: &Hooks<'_>, command: &Command) -> Result<Exit, Error> {
    let Hooks { config, shutdown, .. } = hooks;
    match command {
        Command::Wait => wait::run(hooks).await,
        Command::Migrate => migrate::run(hooks).await,
        Command::Status => status::run(config, shutdown).await,
        Command::Plan => plan::run(config, shutdown).await,
        Command::Baseline(until) => baseline::run(config, until.as_deref(), shutdown).await,
        Command::Resolve(resolution) => resolve::run(config, resolution, shutdown).await,
        Command::Rollback { to, yes } => rollback::run(config, to.as_deref(), *yes, shutdown).await,
        Command::Reset { yes } => Box::pin(reset::run(hooks, *yes)).await,
        // These need no session, and were done before.
        Command::Run(_)
        | Command::New(_)
        | Command::Validate
        | Command::Health
        | Command::Completions(_)
        | Command::Help
        | Command::Version => Ok(Exit::Bug),
    }
}

/// To standard output; a reader that has gone away (`premain --help | head -1`) is no error.
fn print(text: &str) -> Exit {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
    Exit::Success
}

/// The same in JSON.
fn print_json(value: &impl Serialize) {
    print(&format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default()));
}
