//! Everything that a user sets: options, variables and the database, checked in one go.
//!
//! `environment + arguments → Options → Config | Problems`. Nothing here connects, or looks at
//! migrations. The only files it reads are those that `…_FILE` variables and TLS parameters name,
//! `/etc/passwd` and `/etc/group` for users, and the directory of hooks.

mod candidates;
pub(crate) mod cli;
pub mod command;
mod database_variables;
mod env;
pub mod family;
mod given;
mod nearest;
pub(crate) mod option;
mod read;
mod usage;
pub(crate) mod value;

use std::fmt;
use std::time::Duration;

pub use command::{Application, Command, Meant, Shell};
pub use env::Environment;
pub use family::Found;

use crate::database::Database;
use crate::exit::Exit;
use crate::value::Problem;
use crate::wait::Target;
use crate::{hooks, init, launch, log, migrate, wait};

/// Everything that the user set, valid as far as can be known without a server.
#[derive(Debug, Clone)]
pub struct Config {
    /// What to do.
    pub command: Command,
    /// How premain logs.
    pub log: log::Settings,
    /// What to wait for, and how long.
    pub wait: wait::Settings,
    /// The database to wait for and migrate, if there is one.
    pub database: Option<Database>,
    pub(crate) migrate: migrate::Settings,
    /// The commands that run before the application.
    pub hooks: hooks::Settings,
    /// What the init does with signals and exit statuses.
    pub init: init::Rules,
    /// The user and the environment of the application.
    pub launch: launch::Settings,
    /// The settings of `premain status`.
    pub status: Status,
    /// The settings of `premain health`.
    pub health: Health,
    /// One sentence for each setting that is valid but looks like a mistake.
    pub warnings: Vec<String>,
}

impl Config {
    /// Whether there is anything to do before the application is launched.
    pub fn boots(&self) -> bool {
        self.database.is_some()
            || !self.wait.targets.is_empty()
            || !self.hooks.entrypoint.is_empty()
    }
}

/// The settings of `premain status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Whether to print JSON instead of a table.
    pub json: bool,
    /// Whether the exit status says what state the migrations are in.
    pub exit_code: bool,
}

/// The settings of `premain health`.
#[derive(Debug, Clone)]
pub struct Health {
    /// What to ask instead of the database.
    pub targets: Vec<Target>,
    /// How long everything together may take.
    pub timeout: Duration,
    /// Whether an application that has not started yet counts as healthy.
    pub boot_ok: bool,
}

/// Everything that is wrong with what the user set.
#[derive(Debug)]
pub enum Problems {
    /// The command line cannot be parsed. How to log is known from the environment alone.
    Usage(usage::UsageError, log::Settings),
    /// Some values are invalid; never empty.
    Values(Vec<Problem>, log::Settings),
}

impl Problems {
    /// 64 when the command line is wrong, 78 when only the environment is.
    pub fn exit(&self) -> Exit {
        match self {
            Problems::Usage(..) => Exit::Usage,
            Problems::Values(list, _) if list.iter().any(|p| p.name.starts_with("--")) => {
                Exit::Usage
            }
            Problems::Values(..) => Exit::Config,
        }
    }

    /// How to log them.
    pub fn log(&self) -> log::Settings {
        match self {
            Problems::Usage(_, log) | Problems::Values(_, log) => *log,
        }
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    /// One line for each problem.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problems::Usage(error, _) => error.fmt(f),
            Problems::Values(list, _) => {
                let line = |problem: &Problem| format!("{} {}", problem.name, problem.what);
                f.write_str(&list.iter().map(line).collect::<Vec<_>>().join("\n"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_option_makes_it_wrong_usage() {
        let problem = |name: &str| Problem { name: name.to_owned(), what: "is 'x'".to_owned() };
        let exit = |names: &[&str]| {
            Problems::Values(
                names.iter().map(|name| problem(name)).collect(),
                log::Settings::default(),
            )
            .exit()
        };
        assert_eq!(exit(&["DATABASE_URL"]), Exit::Config);
        assert_eq!(exit(&["DATABASE_URL", "--grace"]), Exit::Usage);
    }
}
