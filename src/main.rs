//! premain: block signals, read the configuration, choose the role, return its exit code.

#![forbid(unsafe_code)]
#![no_main]

use std::ffi::OsString;

use premain::config::{Command, Config};
use premain::exit::Exit;
use premain::sys::Inherited;
use premain::{commands, init, launch, log, redact};

premain::entry_point!(run);

fn run(arguments: Vec<OsString>) -> Exit {
    let inherited = Inherited::capture();
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!("{panic}\nthis is a bug in premain; please report it");
        std::process::exit(Exit::Bug.code().into());
    }));
    let config = match Config::read(arguments, std::env::vars_os()) {
        Ok(config) => config,
        Err(problems) => {
            log::start(problems.log());
            tracing::error!("{problems}");
            return problems.exit();
        }
    };
    log::start(config.log);
    redact::protect_process();
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    // A health check runs as any user.
    if config.command != Command::Health
        && let Err(error) = launch::check(&config.launch)
    {
        tracing::error!("{error}");
        return error.exit();
    }
    if matches!(config.command, Command::Run(_)) && !config.init.exec {
        let (rules, only_launches) = (config.init.clone(), !config.boots());
        return init::run(&rules, only_launches, move || commands::run(&config, &inherited));
    }
    commands::run(&config, &inherited)
}
