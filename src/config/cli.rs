//! The command line: which command, which options, which words. Values are judged later, together
//! with those of the environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::{self, Write as _};

use lexopt::Arg;

use super::command::{self, COMMANDS, Command, CommandInfo, Given};
use super::option::{OPTIONS, OptionInfo, Section};

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
    /// A subcommand without the word it needs.
    #[error("'premain {0}' needs a word: premain {0} {1}")]
    MissingWord(&'static str, &'static str),
    /// An option of another subcommand's own.
    #[error("--{0} belongs to {1} alone")]
    Misplaced(&'static str, String),
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
        let mut given = Given::default();
        let mut subcommand: Option<&'static CommandInfo> = None;
        loop {
            if let Some(application) = behind_dashes(&mut parser) {
                return match subcommand {
                    Some(info) if info.name != "run" => {
                        Err(UsageError::UnexpectedWord(info.name, "--".to_owned()))
                    }
                    _ => run(application, options),
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
                    let name = name.to_owned();
                    if let Some(info) = OptionInfo::find(&name) {
                        let value = value(&mut parser, info.name, info.value)?;
                        give(&mut options, info, &value);
                    } else {
                        let own = subcommand.and_then(|info| info.option(&name));
                        let own = own.ok_or_else(|| unknown(&name))?;
                        let value = value(&mut parser, own.name, own.value)?;
                        given.options.insert(own.name, value);
                    }
                }
                Some(Arg::Short(letter)) => {
                    return Err(UsageError::UnknownOption(format!("-{letter}"), String::new()));
                }
                Some(Arg::Value(word)) => match subcommand {
                    None => match word.to_str().and_then(CommandInfo::find) {
                        Some(command) => subcommand = Some(command),
                        None => return run(with_rest(word, &mut parser), options),
                    },
                    Some(info) if info.name == "run" => {
                        return run(with_rest(word, &mut parser), options);
                    }
                    Some(_) => given.words.push_back(word.to_string_lossy().into_owned()),
                },
                None => {
                    let info = subcommand.ok_or(UsageError::NoCommand)?;
                    return Ok(CommandLine { command: info.build(given)?, options });
                }
            }
        }
    }
}

/// The value of the option that was just read; `true` for a flag without one.
fn value(
    parser: &mut lexopt::Parser,
    name: &str,
    called: Option<&str>,
) -> Result<String, UsageError> {
    let value = match called {
        None => parser.optional_value().unwrap_or_else(|| "true".into()),
        Some(called) => parser.value().map_err(|_| {
            UsageError::Malformed(format!("--{name} needs a value: --{name} {called}"))
        })?,
    };
    value.into_string().map_err(|value| {
        UsageError::Malformed(format!("--{name} is not UTF-8: '{}'", value.display()))
    })
}

/// Notes one value; the options that may stand several times are told apart later.
fn give(options: &mut BTreeMap<&'static str, String>, info: &'static OptionInfo, value: &str) {
    let slot = options.entry(info.name).or_default();
    if !slot.is_empty() {
        slot.push('\n');
    }
    slot.push_str(value);
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

fn unknown(given: &str) -> UsageError {
    let owners = command::with_option(given);
    if let Some(option) = owners.first().and_then(|owner| owner.option(given)) {
        let owners: Vec<_> = owners.iter().map(|info| format!("'premain {}'", info.name)).collect();
        return UsageError::Misplaced(option.name, owners.join(" and "));
    }
    let own = COMMANDS.iter().flat_map(|command| command.options).map(|option| option.name);
    let names = OPTIONS.iter().map(|option| option.name).chain(own);
    let hint =
        nearest(given, names).map(|name| format!(", did you mean '--{name}'?")).unwrap_or_default();
    UsageError::UnknownOption(format!("--{given}"), hint)
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
",
    );
    // Writing to a string cannot fail.
    for command in COMMANDS {
        let _ = writeln!(text, "  {}", command.line());
        indent(&mut text, command.help);
        for option in command.options {
            let value = option.value.map(|value| format!(" {value}")).unwrap_or_default();
            indent(&mut text, &format!("--{}{value}: {}", option.name, option.help));
        }
    }
    text.push_str(
        "
The database is DATABASE_URL, else POSTGRES_HOST and its kin, else DB_HOST and its kin, else
PGHOST and its kin; MIGRATION_DATABASE_URL or DIRECT_URL, where set, is preferred for premain's
own sessions. Each of them may be given as a file: DATABASE_URL_FILE. Every option below may be
given as a variable, PREMAIN_ and its name: PREMAIN_WAIT_TIMEOUT. The option wins.
",
    );
    for section in Section::ALL {
        let _ = writeln!(text, "\n{}:", section.title());
        for option in OPTIONS.iter().filter(|option| option.section == section) {
            let value = option.value.map(|value| format!(" {value}")).unwrap_or_default();
            let _ = writeln!(text, "  --{}{value}", option.name);
            indent(&mut text, option.help);
        }
    }
    text.push_str("\n  -h, --help      this text\n  -V, --version   the version\n");
    text
}

fn indent(text: &mut String, help: &str) {
    for line in wrap(help, 82) {
        let _ = writeln!(text, "        {line}");
    }
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
    use crate::migrate::settings::Resolution;

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
    fn a_command_s_own_options_are_nobody_else_s() {
        let command = |line: &str| parse(line).map(|parsed| parsed.command);
        assert_eq!(
            command("rollback --log warn --to 3 --yes"),
            Ok(Command::Rollback { to: Some("3".to_owned()), yes: true })
        );
        assert_eq!(
            command("resolve --rolled-back 3_x"),
            Ok(Command::Resolve(Resolution::RolledBack("3_x".to_owned())))
        );
        for (line, says) in [
            ("migrate --yes", "--yes belongs to 'premain rollback' and 'premain reset' alone"),
            ("--to 3 true", "--to belongs to 'premain rollback' alone"),
            ("reset --to 3", "--to belongs to 'premain rollback' alone"),
            ("resolve", "needs one of --applied VERSION and --rolled-back VERSION"),
            ("resolve --applied 1 --rolled-back 2", "needs one of"),
            ("resolve --applied", "--applied needs a value: --applied VERSION"),
            ("new", "'premain new' needs a word: premain new NAME"),
            ("completions tcsh", "'tcsh' is not one of bash, zsh, fish"),
            ("rollback --yess", "did you mean '--yes'?"),
        ] {
            let error = command(line).unwrap_err().to_string();
            assert!(error.contains(says), "{line}: {error}");
        }
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
    fn the_help_lists_every_option_and_command() {
        let help = help();
        for option in OPTIONS {
            assert!(help.contains(&format!("--{}", option.name)), "{}", option.name);
        }
        for command in COMMANDS {
            assert!(help.contains(&command.line()), "{}", command.name);
        }
    }
}
