//! The command line: which command, which options, which words. Values are judged later, together
//! with those of the environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::{self, Write as _};

use lexopt::Arg;

use super::option::{OPTIONS, OptionInfo, Section};

/// What premain was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Wait, migrate, launch and supervise this application: its program and arguments, never empty.
    Run(Vec<OsString>),
    /// Wait for the database and every other target, then exit.
    Wait,
    /// Wait, apply what is pending, exit.
    Migrate,
    /// Record migrations as applied, up to this one or all, and run nothing.
    Baseline(Option<String>),
    /// Tell what is applied, pending, edited and missing.
    Status,
    /// Tell whether the application is up.
    Health,
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// The command line in its parts.
pub struct CommandLine {
    /// What to do.
    pub command: Command,
    /// Option name (without dashes) to its value; several values of one option stand in lines.
    pub options: BTreeMap<&'static str, String>,
}

impl fmt::Debug for CommandLine {
    /// Without the options' values: a target may be a URL with a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandLine")
            .field("command", &self.command)
            .field("options", &self.options.keys())
            .finish()
    }
}

/// A command line that means nothing; [`std::fmt::Display`] says why, and what would.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UsageError {
    /// `premain` alone.
    #[error("no command to run: premain [OPTIONS] [--] COMMAND [ARG…], or 'premain --help'")]
    NoCommand,
    /// An option that does not exist.
    #[error("unknown option '{0}'{1}; 'premain --help' lists them all, and '--' ends them")]
    UnknownOption(String, String),
    /// An option without its value, or a flag with one.
    #[error("{0}")]
    Malformed(String),
    /// A further word behind a subcommand.
    #[error("'premain {0}' takes no '{1}'")]
    UnexpectedWord(&'static str, String),
}

impl CommandLine {
    /// Takes the arguments apart, the program's own name aside. The first word that is neither an
    /// option nor a subcommand begins the application's command line, and is never looked into.
    ///
    /// # Errors
    /// [`UsageError`], whose exit status is 64.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<CommandLine, UsageError> {
        let mut parser = lexopt::Parser::from_args(arguments);
        let mut options = BTreeMap::new();
        let mut subcommand: Option<(&'static str, Command)> = None;
        loop {
            if let Some(application) = behind_dashes(&mut parser) {
                return match subcommand {
                    None | Some(("run", _)) => run(application, options),
                    Some((name, _)) => Err(UsageError::UnexpectedWord(name, "--".to_owned())),
                };
            }
            match parser.next().map_err(|e| UsageError::Malformed(e.to_string()))? {
                Some(Arg::Short('h') | Arg::Long("help")) => {
                    return Ok(CommandLine { command: Command::Help, options });
                }
                Some(Arg::Short('V') | Arg::Long("version")) => {
                    return Ok(CommandLine { command: Command::Version, options });
                }
                Some(Arg::Long(name)) => {
                    let Some(info) = OptionInfo::find(name) else {
                        return Err(unknown(&format!("--{name}")));
                    };
                    let value = match info.value {
                        None => parser.optional_value().unwrap_or_else(|| "true".into()),
                        Some(_) => parser.value().map_err(|_| missing_value(info))?,
                    };
                    let value = value.into_string().map_err(|value| {
                        UsageError::Malformed(format!(
                            "--{} is not UTF-8: '{}'",
                            info.name,
                            value.display()
                        ))
                    })?;
                    give(&mut options, info, &value);
                }
                Some(Arg::Short(letter)) => return Err(unknown(&format!("-{letter}"))),
                Some(Arg::Value(word)) => match &mut subcommand {
                    None => match named(&word) {
                        Some(command) => subcommand = Some(command),
                        None => return run(with_rest(word, &mut parser), options),
                    },
                    Some(("run", _)) => return run(with_rest(word, &mut parser), options),
                    Some((_, Command::Baseline(until @ None))) => {
                        *until = Some(word.to_string_lossy().into_owned());
                    }
                    Some((name, _)) => {
                        let word = word.to_string_lossy().into_owned();
                        return Err(UsageError::UnexpectedWord(name, word));
                    }
                },
                None => {
                    return match subcommand {
                        None | Some((_, Command::Run(_))) => Err(UsageError::NoCommand),
                        Some((_, command)) => Ok(CommandLine { command, options }),
                    };
                }
            }
        }
    }
}

/// Notes one value; the options that may stand several times are told apart later.
fn give(options: &mut BTreeMap<&'static str, String>, info: &'static OptionInfo, value: &str) {
    let slot = options.entry(info.name).or_default();
    if !slot.is_empty() {
        slot.push('\n');
    }
    slot.push_str(value);
}

fn named(word: &OsString) -> Option<(&'static str, Command)> {
    Some(match word.to_str()? {
        "run" => ("run", Command::Run(Vec::new())),
        "wait" => ("wait", Command::Wait),
        "migrate" => ("migrate", Command::Migrate),
        "baseline" => ("baseline", Command::Baseline(None)),
        "status" => ("status", Command::Status),
        "health" => ("health", Command::Health),
        "help" => ("help", Command::Help),
        _ => return None,
    })
}

fn run(
    application: Vec<OsString>,
    options: BTreeMap<&'static str, String>,
) -> Result<CommandLine, UsageError> {
    if application.is_empty() {
        return Err(UsageError::NoCommand);
    }
    Ok(CommandLine { command: Command::Run(application), options })
}

fn with_rest(first: OsString, parser: &mut lexopt::Parser) -> Vec<OsString> {
    let mut words = vec![first];
    if let Ok(rest) = parser.raw_args() {
        words.extend(rest);
    }
    words
}

/// Everything behind `--`, if that is what comes next.
fn behind_dashes(parser: &mut lexopt::Parser) -> Option<Vec<OsString>> {
    let mut rest = parser.try_raw_args()?;
    rest.next_if(|word| word == "--")?;
    Some(rest.collect())
}

fn missing_value(info: &OptionInfo) -> UsageError {
    let value = info.value.unwrap_or_default();
    UsageError::Malformed(format!("--{} needs a value: --{} {value}", info.name, info.name))
}

fn unknown(given: &str) -> UsageError {
    let hint = nearest(given.trim_start_matches('-'), OPTIONS.iter().map(|option| option.name))
        .map(|name| format!(", did you mean '--{name}'?"))
        .unwrap_or_default();
    UsageError::UnknownOption(given.to_owned(), hint)
}

/// The name that `given` was most likely meant to be: one that is spelled almost so, else the one
/// that begins most like it.
pub(super) fn nearest<'a>(
    given: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let mistakes = |name: &&str| mistakes(given, name);
    let almost = names.clone().min_by_key(mistakes);
    let almost = almost.filter(|name| mistakes(name) <= given.chars().count() / 3);
    let common = |name: &&str| {
        let pairs = given.chars().zip(name.chars());
        pairs.take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count()
    };
    almost.or_else(|| names.max_by_key(common).filter(|name| common(name) >= 4))
}

/// How many letters to add, drop or change from one spelling to the other.
fn mistakes(given: &str, meant: &str) -> usize {
    let mut row: Vec<usize> = (0..=meant.chars().count()).collect();
    for (done, a) in given.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], done + 1);
        for (at, b) in meant.chars().enumerate() {
            let changed = diagonal + usize::from(!a.eq_ignore_ascii_case(&b));
            diagonal = row[at + 1];
            row[at + 1] = changed.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[meant.chars().count()]
}

/// The help text.
pub fn help() -> String {
    let mut text = String::from(
        "premain: everything a container must do before main, and the init that looks after main

Usage:
  premain [run] [OPTIONS] [--] COMMAND [ARG…]   wait, migrate, launch and supervise COMMAND
  premain wait    [OPTIONS]                     wait only
  premain migrate [OPTIONS]                     wait, apply what is pending, exit
  premain status  [OPTIONS]                     what is applied, pending, edited, missing
  premain health  [OPTIONS]                     is the application up? For HEALTHCHECK and probes
  premain baseline [VERSION] [OPTIONS]          adopt a database: record all migrations, or those up
                                                to VERSION, as applied, and run nothing

The database is DATABASE_URL, else POSTGRES_HOST and its kin, else DB_HOST and its kin, else
PGHOST and its kin; MIGRATION_DATABASE_URL or DIRECT_URL, where set, is preferred for premain's
own sessions. Each of them may be given as a file: DATABASE_URL_FILE. Every option below may be
given as a variable, PREMAIN_ and its name: PREMAIN_WAIT_TIMEOUT. The option wins.
",
    );
    for section in Section::ALL {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n{}:", section.title());
        for option in OPTIONS.iter().filter(|option| option.section == section) {
            let value = option.value.map(|value| format!(" {value}")).unwrap_or_default();
            let _ = writeln!(text, "  --{}{value}", option.name);
            for line in wrap(option.help, 82) {
                let _ = writeln!(text, "        {line}");
            }
        }
    }
    text.push_str("\n  -h, --help      this text\n  -V, --version   the version\n");
    text
}

/// `text` in lines of at most `width` characters, broken at spaces.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<CommandLine, UsageError> {
        CommandLine::parse(line.split_whitespace().map(OsString::from))
    }

    fn words(line: &str) -> Command {
        Command::Run(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn the_first_word_that_is_neither_option_nor_subcommand_begins_the_application() {
        for line in [
            "--grace 3s node server.js --grace 4s",
            "run --grace=3s node server.js --grace 4s",
            "--grace=3s -- node server.js --grace 4s",
            "run --grace 3s -- node server.js --grace 4s",
        ] {
            let parsed = parse(line).unwrap();
            assert_eq!(parsed.command, words("node server.js --grace 4s"), "{line}");
            assert_eq!(parsed.options["grace"], "3s", "{line}");
        }
    }

    #[test]
    fn behind_dashes_a_subcommand_is_an_application() {
        assert_eq!(parse("-- migrate --help").unwrap().command, words("migrate --help"));
        assert_eq!(parse("run wait").unwrap().command, words("wait"));
    }

    #[test]
    fn subcommands_take_options_and_no_words() {
        let parsed = parse("status --output json --exit-code").unwrap();
        assert_eq!(parsed.command, Command::Status);
        assert_eq!(parsed.options["output"], "json");
        assert_eq!(parsed.options["exit-code"], "true");
        assert!(matches!(parse("wait now"), Err(UsageError::UnexpectedWord("wait", _))));
        assert!(matches!(parse("migrate -- node"), Err(UsageError::UnexpectedWord(..))));
    }

    #[test]
    fn baseline_takes_one_word_at_most() {
        let until = |line: &str| parse(line).map(|parsed| parsed.command);
        assert_eq!(until("baseline"), Ok(Command::Baseline(None)));
        assert_eq!(
            until("baseline 0_init --log warn"),
            Ok(Command::Baseline(Some("0_init".to_owned())))
        );
        assert!(matches!(until("baseline 1 2"), Err(UsageError::UnexpectedWord("baseline", _))));
    }

    #[test]
    fn nothing_to_run_is_usage() {
        for line in ["", "run", "--", "run --", "--exec"] {
            assert_eq!(parse(line).unwrap_err(), UsageError::NoCommand, "{line:?}");
        }
    }

    #[test]
    fn an_option_given_again_adds_a_line() {
        let parsed = parse("--rewrite TERM:QUIT --rewrite HUP:0 true").unwrap();
        assert_eq!(parsed.options["rewrite"], "TERM:QUIT\nHUP:0");
    }

    #[test]
    fn an_unknown_option_names_the_one_that_was_meant() {
        let error = parse("--wait-time 5 true").unwrap_err().to_string();
        assert!(error.contains("--wait-timeout"), "{error}");
        for (given, meant) in [
            ("--wait_timeout", "--wait-timeout"),
            ("--gracee", "--grace"),
            ("--migration", "--migrations"),
            ("--db-optionl", "--db-optional"),
        ] {
            let error = parse(&format!("{given} true")).unwrap_err().to_string();
            assert!(error.contains(&format!("did you mean '{meant}'?")), "{error}");
        }
        assert!(!parse("--zzzzzz true").unwrap_err().to_string().contains("did you mean"));
        assert!(parse("-x true").unwrap_err().to_string().contains("'-x'"));
        assert!(parse("--grace").unwrap_err().to_string().contains("--grace DURATION"));
    }

    #[test]
    fn the_help_lists_every_option() {
        let help = help();
        for option in OPTIONS {
            assert!(help.contains(&format!("--{}", option.name)), "{}", option.name);
        }
    }
}
