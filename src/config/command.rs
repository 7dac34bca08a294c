//! The table of commands: one row is the command line, the help text, the README's row and what
//! shells complete.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;

use super::nearest::nearest_subcommand;
use super::usage::UsageError;
use crate::migrate::settings::Resolution;

/// The subcommand and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Wait, migrate, launch and supervise this application.
    Run(Application),
    /// Wait for the database and every other target, then exit.
    Wait,
    /// Wait, apply what is pending, exit.
    Migrate,
    /// Report what is applied, pending, edited and missing.
    Status,
    /// Report whether the application is healthy.
    Health,
    /// Show the SQL that would run.
    Plan,
    /// Look for mistakes in the migrations, without a database.
    Validate,
    /// Record migrations as applied, up to this one or all, and run nothing.
    Baseline(Option<String>),
    /// Record what became of a migration that failed halfway.
    Resolve(Resolution),
    /// Run down migrations.
    Rollback {
        /// The migration to go back to; without it, only the last one is rolled back.
        to: Option<String>,
        /// Do not ask.
        yes: bool,
    },
    /// Write the next migration's file, of this name.
    New(String),
    /// Drop everything, then apply all migrations.
    Reset {
        /// Only empty the tables.
        data_only: bool,
        /// Do not ask.
        yes: bool,
    },
    /// Print what a shell needs to complete premain's command line.
    Completions(Shell),
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// The application's command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// The program, which is not empty, and its arguments.
    pub words: Vec<OsString>,
    /// Whether `run` or `--` comes before it, so that it is not a misspelled subcommand.
    pub is_explicit: bool,
}

/// What the name of a program that does not exist most likely means.
#[derive(Debug, PartialEq, Eq)]
pub enum Meant {
    /// This subcommand, which is spelled differently: `premain statsu`.
    Misspelled(&'static str),
    /// This subcommand or option, behind `--`: `premain -- status`.
    Subcommand(String),
}

impl Application {
    /// What was most likely meant, if there is no such program.
    pub(crate) fn meant(&self) -> Option<Meant> {
        let program = self.words.first()?.to_str()?;
        if self.is_explicit {
            let known = CommandInfo::find(program).is_some()
                || ["--help", "-h", "--version", "-V"].contains(&program);
            return known.then(|| Meant::Subcommand(program.to_owned()));
        }
        let names = COMMANDS.iter().map(|command| command.name);
        nearest_subcommand(program, names).map(Meant::Misspelled)
    }
}

/// A shell that completes command lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

impl Shell {
    /// Every shell by its name.
    pub const ALL: &[(&str, Shell)] =
        &[("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)];
}

/// One command as people see it.
pub struct CommandInfo {
    /// `baseline`
    pub name: &'static str,
    /// Its arguments: `[VERSION]`.
    pub usage: &'static str,
    /// What it does.
    pub help: &'static str,
    /// The options that only this command has. They have no variables, so that no environment
    /// answers every question with yes.
    pub options: &'static [OwnOption],
    build: fn(&mut Given) -> Result<Command, UsageError>,
}

/// An option of one command.
pub struct OwnOption {
    /// The name without dashes.
    pub name: &'static str,
    /// What the value is called; `None` for a flag.
    pub value: Option<&'static str>,
    /// What it does.
    pub help: &'static str,
}

const YES: OwnOption = OwnOption {
    name: "yes",
    value: None,
    help: "Do not ask for confirmation; required without a terminal.",
};

/// Every command, in the order of the help text.
pub const COMMANDS: &[CommandInfo] = &[
    CommandInfo {
        name: "run",
        usage: "[OPTIONS] [--] COMMAND [ARG…]",
        help: "wait, migrate, launch and supervise COMMAND; 'run' may be left out",
        options: &[],
        build: |_| Err(UsageError::NoCommand),
    },
    CommandInfo {
        name: "wait",
        usage: "",
        help: "wait only",
        options: &[],
        build: |_| Ok(Command::Wait),
    },
    CommandInfo {
        name: "migrate",
        usage: "",
        help: "wait, apply what is pending, exit: for CI, a Kubernetes Job or init container",
        options: &[],
        build: |_| Ok(Command::Migrate),
    },
    CommandInfo {
        name: "status",
        usage: "[--output json] [--exit-code]",
        help: "what is applied, pending, edited, missing, ahead, failed",
        options: &[],
        build: |_| Ok(Command::Status),
    },
    CommandInfo {
        name: "health",
        usage: "[--http URL] [--tcp HOST:PORT]",
        help: "for HEALTHCHECK and probes: the phase, and whether the application or its database answers",
        options: &[],
        build: |_| Ok(Command::Health),
    },
    CommandInfo {
        name: "plan",
        usage: "[--output json]",
        help: "the SQL that would run, in order; touches nothing",
        options: &[],
        build: |_| Ok(Command::Plan),
    },
    CommandInfo {
        name: "validate",
        usage: "",
        help: "look for mistakes in the migrations, without a database",
        options: &[],
        build: |_| Ok(Command::Validate),
    },
    CommandInfo {
        name: "baseline",
        usage: "[VERSION]",
        help: "adopt a database that has its tables already: record all migrations, or those up to \
               VERSION ('none': none of them), as applied, and run nothing",
        options: &[],
        build: |given| Ok(Command::Baseline(given.word())),
    },
    CommandInfo {
        name: "resolve",
        usage: "--applied VERSION | --rolled-back VERSION",
        help: "say what became of a migration that failed halfway",
        options: &[
            OwnOption {
                name: "applied",
                value: Some("VERSION"),
                help: "The database has all of it: record it as applied, and run nothing.",
            },
            OwnOption {
                name: "rolled-back",
                value: Some("VERSION"),
                help: "The database has nothing of it: apply it again at the next start.",
            },
        ],
        build: |given| match (given.value("applied"), given.value("rolled-back")) {
            (Some(version), None) => Ok(Command::Resolve(Resolution::Applied(version))),
            (None, Some(version)) => Ok(Command::Resolve(Resolution::RolledBack(version))),
            _ => Err(UsageError::Malformed(
                "'premain resolve' needs one of --applied VERSION and --rolled-back VERSION"
                    .to_owned(),
            )),
        },
    },
    CommandInfo {
        name: "rollback",
        usage: "[--to VERSION] [--yes]",
        help: "run the down migration of the last migration, or of all that are newer than VERSION",
        options: &[
            OwnOption {
                name: "to",
                value: Some("VERSION"),
                help: "The migration to go back to; 'none' rolls back all of them.",
            },
            YES,
        ],
        build: |given| Ok(Command::Rollback { to: given.value("to"), yes: given.flag("yes") }),
    },
    CommandInfo {
        name: "new",
        usage: "NAME",
        help: "write the next migration's file, in the layout of the directory",
        options: &[],
        build: |given| given.needed_word("new", "NAME").map(Command::New),
    },
    CommandInfo {
        name: "reset",
        usage: "[--data-only] [--yes]",
        help: "drop everything and migrate again; for development only",
        options: &[
            OwnOption {
                name: "data-only",
                value: None,
                help: "Only empty the tables; the schema and the history table stay as they are.",
            },
            YES,
        ],
        build: |given| {
            Ok(Command::Reset { data_only: given.flag("data-only"), yes: given.flag("yes") })
        },
    },
    CommandInfo {
        name: "completions",
        usage: "bash|zsh|fish",
        help: "what a shell needs to complete premain's command line",
        options: &[],
        build: |given| {
            let word = given.needed_word("completions", "bash|zsh|fish")?;
            let shell = crate::value::choice(&word, Shell::ALL);
            let wrong = |allowed| UsageError::Malformed(format!("'{word}' is not {allowed}"));
            shell.map(Command::Completions).map_err(wrong)
        },
    },
    CommandInfo {
        name: "help",
        usage: "",
        help: "this text",
        options: &[],
        build: |_| Ok(Command::Help),
    },
];

/// The arguments of a command.
#[derive(Default)]
pub(super) struct Given {
    pub(super) words: VecDeque<String>,
    /// The command's own options, by name.
    pub(super) options: BTreeMap<&'static str, String>,
}

impl Given {
    fn word(&mut self) -> Option<String> {
        self.words.pop_front()
    }

    fn needed_word(
        &mut self,
        command: &'static str,
        what: &'static str,
    ) -> Result<String, UsageError> {
        self.word().ok_or(UsageError::MissingWord(command, what))
    }

    /// Takes an option of the command's own.
    ///
    /// # Errors
    /// It is empty, or was given before with another value.
    pub(super) fn take(&mut self, option: &OwnOption, value: &str) -> Result<(), UsageError> {
        let name = option.name;
        let wrong = |what: String| Err(UsageError::Malformed(format!("--{name} {what}")));
        if value.trim().is_empty() {
            let called = option.value.unwrap_or("true|false");
            return wrong(format!("is empty; give it a value ({called}) or leave it out"));
        }
        match self.options.insert(name, value.to_owned()) {
            Some(before) if option.value.is_some() || before != value => {
                wrong(format!("is given twice, as '{before}' and as '{value}'; keep one"))
            }
            _ => Ok(()),
        }
    }

    fn value(&mut self, name: &str) -> Option<String> {
        self.options.remove(name)
    }

    fn flag(&mut self, name: &str) -> bool {
        self.options.contains_key(name)
    }
}

impl OwnOption {
    /// `--to VERSION`
    pub fn usage(&self) -> String {
        let value = self.value.map(|value| format!(" {value}")).unwrap_or_default();
        format!("--{}{value}", self.name)
    }
}

impl CommandInfo {
    /// The command of that name.
    pub fn find(name: &str) -> Option<&'static CommandInfo> {
        COMMANDS.iter().find(|command| command.name == name)
    }

    /// The option of that name that only this command has.
    pub fn option(&self, name: &str) -> Option<&'static OwnOption> {
        self.options.iter().find(|option| option.name == name)
    }

    /// `premain baseline [VERSION]`
    pub fn line(&self) -> String {
        match self.name {
            "run" => format!("premain [run] {}", self.usage),
            name => format!("premain {name} {}", self.usage).trim_end().to_owned(),
        }
    }

    /// The command, once all its arguments are known.
    ///
    /// # Errors
    /// [`UsageError`]: something is missing, or there is a word too many.
    pub(super) fn build(&self, mut given: Given) -> Result<Command, UsageError> {
        if given.words.iter().any(|word| word.trim().is_empty()) {
            let line = self.line();
            return Err(UsageError::Malformed(format!("an argument of '{line}' is empty")));
        }
        let command = (self.build)(&mut given)?;
        match given.word() {
            None => Ok(command),
            Some(word) => Err(UsageError::UnexpectedWord(self.name, word)),
        }
    }
}

/// The commands that have this option of their own.
pub(super) fn with_option(name: &str) -> Vec<&'static CommandInfo> {
    COMMANDS.iter().filter(|command| command.option(name).is_some()).collect()
}
