//! One file per subcommand.

mod baseline;
mod completions;
mod health;
mod migrate;
mod new;
mod output;
mod plan;
mod question;
mod reset;
mod resolve;
mod rollback;
mod status;
mod validate;
mod wait;

use crate::boot::{self, in_runtime};
use crate::config::{Command, Config, cli};
use crate::exit::Exit;
use crate::sys::Inherited;

/// Runs `config.command` in this process: `run` becomes the application, the others return.
pub fn run(config: &Config, inherited: &Inherited) -> Exit {
    let outcome = match &config.command {
        Command::Run(application) => return boot::run(config, application, inherited),
        Command::Help => Ok(output::print(&cli::help())),
        Command::Version => Ok(output::print(concat!("premain ", env!("CARGO_PKG_VERSION"), "\n"))),
        Command::Completions(shell) => Ok(output::print(&completions::script(*shell))),
        Command::New(title) => new::run(config, title),
        Command::Validate => validate::run(config),
        Command::Health => health::run(config, inherited),
        Command::Wait => in_runtime(config, inherited, wait::run),
        Command::Migrate => in_runtime(config, inherited, migrate::run),
        Command::Status => in_runtime(config, inherited, status::run),
        Command::Plan => in_runtime(config, inherited, plan::run),
        Command::Baseline(until) => in_runtime(config, inherited, async |context| {
            baseline::run(context, until.as_deref()).await
        }),
        Command::Resolve(resolution) => {
            in_runtime(config, inherited, async |context| resolve::run(context, resolution).await)
        }
        Command::Rollback { to, yes } => in_runtime(config, inherited, async |context| {
            rollback::run(context, to.as_deref(), *yes).await
        }),
        Command::Reset { data_only, yes } => in_runtime(config, inherited, async |context| {
            reset::run(context, *data_only, *yes).await
        }),
    };
    outcome.unwrap_or_else(|error| error.report())
}
