//! The command line: which command, which options, which arguments. Values of options are parsed
//! later, together with those of the environment.

use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;

use lexopt::Arg;

use super::command::{self, Application, COMMANDS, Command, CommandInfo, Given};
use super::nearest::nearest;
use super::option::{OPTIONS, OptionInfo, Section};
use super::usage::UsageError;

/// The command line in its parts.
pub(crate) struct CommandLine {
    /// What to do.
    pub command: Command,
    /// The options and their values, in order.
    pub options: Vec<(&'static OptionInfo, String)>,
}

impl fmt::Debug for CommandLine {
    /// Without the options' values: a target may be a URL with a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.options.iter().map(|(option, _)| option.name()).collect();
        f.debug_struct("CommandLine")
            .field("command", &self.command)
            .field("options", &names)
            .finish()
    }
}

impl CommandLine {
    /// Parses the arguments, without the program's own name. The first one that is neither an
    /// option nor a subcommand begins the application's command line, which is not parsed.
    ///
    /// # Errors
    /// [`UsageError`], whose exit status is 64.
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<CommandLine, UsageError> {
        let mut parser = lexopt::Parser::from_args(arguments);
        let mut options = Vec::new();
        let mut given = Given::default();
        let mut subcommand: Option<&'static CommandInfo> = None;
        loop {
            if let Some(application) = after_dashes(&mut parser) {
                return match subcommand {
                    Some(info) if info.name != "run" => {
                        Err(UsageError::UnexpectedWord(info.name, "--".to_owned()))
                    }
                    _ => run(application, true, options),
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
                        options.push((info, value(&mut parser, &info.usage(), info.value)?));
                    } else {
                        let own = subcommand.and_then(|info| info.option(&name));
                        let own = own.ok_or_else(|| unknown(&name))?;
                        let value = value(&mut parser, &own.usage(), own.value)?;
                        given.take(own, &value)?;
                    }
                }
                Some(Arg::Short(letter)) => {
                    return Err(UsageError::UnknownOption(format!("-{letter}"), String::new()));
                }
                Some(Arg::Value(word)) => match subcommand {
                    None => match word.to_str().and_then(CommandInfo::find) {
                        Some(command) => subcommand = Some(command),
                        None => return run(with_rest(word, &mut parser), false, options),
                    },
                    Some(info) if info.name == "run" => {
                        return run(with_rest(word, &mut parser), true, options);
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
    usage: &str,
    called: Option<&str>,
) -> Result<String, UsageError> {
    let name = usage.split(' ').next().unwrap_or_default();
    let value = match called {
        None => parser.optional_value().unwrap_or_else(|| "true".into()),
        Some(_) => parser
            .value()
            .map_err(|_| UsageError::Malformed(format!("{name} needs a value: {usage}")))?,
    };
    value.into_string().map_err(|value| {
        UsageError::Malformed(format!("{name} is not UTF-8: '{}'", value.display()))
    })
}

fn run(
    words: Vec<OsString>,
    is_explicit: bool,
    options: Vec<(&'static OptionInfo, String)>,
) -> Result<CommandLine, UsageError> {
    match words.first() {
        None => Err(UsageError::NoCommand),
        Some(program) if program.as_bytes().trim_ascii().is_empty() => {
            Err(UsageError::EmptyCommand)
        }
        Some(_) => {
            let command = Command::Run(Application { words, is_explicit });
            Ok(CommandLine { command, options })
        }
    }
}

fn with_rest(first: OsString, parser: &mut lexopt::Parser) -> Vec<OsString> {
    let mut words = vec![first];
    if let Ok(rest) = parser.raw_args() {
        words.extend(rest);
    }
    words
}

/// Everything after `--`, if that is the next argument.
fn after_dashes(parser: &mut lexopt::Parser) -> Option<Vec<OsString>> {
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
    let own = COMMANDS.iter().flat_map(|command| command.options);
    let own = own.map(|option| option.name.to_owned());
    let names: Vec<_> = OPTIONS.iter().map(OptionInfo::name).chain(own).collect();
    let hint = nearest(given, names.iter().map(String::as_str))
        .map(|name| format!(", did you mean '--{name}'?"))
        .unwrap_or_default();
    UsageError::UnknownOption(format!("--{given}"), hint)
}

/// The help text.
pub(crate) fn help() -> String {
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
            indent(&mut text, &format!("{}: {}", option.usage(), option.help));
        }
    }
    text.push_str(
        "
The database is DATABASE_URL, otherwise POSTGRES_HOST with POSTGRES_USER etc., otherwise DB_HOST
with DB_USER etc., otherwise PGHOST with PGUSER etc. If MIGRATION_DATABASE_URL or DIRECT_URL is
set, premain itself uses that. Each of these can be in a file: DATABASE_URL_FILE names it. Every
option below is also a variable: PREMAIN_WAIT_TIMEOUT for --wait-timeout. The option wins.
",
    );
    for section in Section::ALL {
        let _ = writeln!(text, "\n{}:", section.title());
        for option in OPTIONS.iter().filter(|option| option.section == section) {
            let _ = writeln!(text, "  {}", option.usage());
            indent(&mut text, &option.help());
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
    use super::super::command::Meant;
    use super::*;
    use crate::migrate::settings::Resolution;

    fn parse(line: &str) -> Result<CommandLine, UsageError> {
        CommandLine::parse(line.split_whitespace().map(OsString::from))
    }

    fn given(line: &CommandLine) -> Vec<(&str, &str)> {
        line.options.iter().map(|(option, value)| (option.field, value.as_str())).collect()
    }

    fn words(line: &str, is_explicit: bool) -> Command {
        let words = line.split_whitespace().map(OsString::from).collect();
        Command::Run(Application { words, is_explicit })
    }

    #[test]
    fn the_first_word_that_is_neither_option_nor_subcommand_begins_the_application() {
        for (line, is_explicit) in [
            ("--grace 3s node server.js --grace 4s", false),
            ("run --grace=3s node server.js --grace 4s", true),
            ("--grace=3s -- node server.js --grace 4s", true),
            ("run --grace 3s -- node server.js --grace 4s", true),
        ] {
            let parsed = parse(line).unwrap();
            assert_eq!(parsed.command, words("node server.js --grace 4s", is_explicit), "{line}");
            assert_eq!(given(&parsed), [("grace", "3s")], "{line}");
        }
    }

    #[test]
    fn after_dashes_a_subcommand_is_an_application() {
        assert_eq!(parse("-- migrate --help").unwrap().command, words("migrate --help", true));
        assert_eq!(parse("run wait").unwrap().command, words("wait", true));
    }

    #[test]
    fn subcommands_take_options_and_no_words() {
        let parsed = parse("status --output json --exit-code").unwrap();
        assert_eq!(parsed.command, Command::Status);
        assert_eq!(given(&parsed), [("output", "json"), ("exit_code", "true")]);
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
    fn a_command_s_own_options_belong_to_it_alone() {
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
            ("migrate --yes", "--yes is an option of 'premain rollback' and 'premain reset' only"),
            ("--to 3 true", "--to is an option of 'premain rollback' only"),
            ("reset --to 3", "--to is an option of 'premain rollback' only"),
            ("resolve", "needs one of --applied VERSION and --rolled-back VERSION"),
            ("resolve --applied 1 --rolled-back 2", "needs one of"),
            ("resolve --applied", "--applied needs a value: --applied VERSION"),
            ("rollback --to 1 --to 2", "--to is given twice, as '1' and as '2'; keep one"),
            ("rollback --to=", "--to is empty; give it a value (VERSION) or leave it out"),
            ("new", "'premain new' needs an argument: premain new NAME"),
            ("completions tcsh", "'tcsh' is not one of bash, zsh, fish"),
            ("rollback --yess", "did you mean '--yes'?"),
        ] {
            let error = command(line).unwrap_err().to_string();
            assert!(error.contains(says), "{line}: {error}");
        }
    }

    #[test]
    fn an_empty_argument_is_rejected() {
        for (line, named) in [
            (&["baseline", ""][..], "premain baseline [VERSION]"),
            (&["new", " "], "premain new NAME"),
            (&["resolve", "--applied", ""], "--applied is empty"),
            (&["resolve", "--rolled-back", " "], "--rolled-back is empty"),
        ] {
            let error = CommandLine::parse(line.iter().map(OsString::from)).unwrap_err();
            assert!(error.to_string().contains(named), "{line:?}: {error}");
        }
        assert_eq!(
            parse("reset --yes --yes").unwrap().command,
            Command::Reset { data_only: false, yes: true },
            "a flag may be given twice"
        );
    }

    #[test]
    fn nothing_to_run_is_usage() {
        for line in ["", "run", "--", "run --", "--exec"] {
            assert_eq!(parse(line).unwrap_err(), UsageError::NoCommand, "{line:?}");
        }
    }

    #[test]
    fn an_empty_command_is_named_as_such() {
        for words in [&["--", ""][..], &[""], &["run", " "], &["--", "", "x"]] {
            let error = CommandLine::parse(words.iter().map(OsString::from)).unwrap_err();
            assert_eq!(error, UsageError::EmptyCommand, "{words:?}");
        }
        assert!(UsageError::EmptyCommand.to_string().contains("'command: [\"${CMD}\"]'"));
    }

    #[test]
    fn a_program_that_does_not_exist_may_be_a_subcommand() {
        let meant = |line: &str| match parse(line).unwrap().command {
            Command::Run(application) => application.meant(),
            other => panic!("{other:?}"),
        };
        for (line, name) in [
            ("statsu", "status"),
            ("--log debug Status", "status"),
            ("migration", "migrate"),
            ("healthcheck", "health"),
            ("comp", "completions"),
            ("rollbak --to 3", "rollback"),
        ] {
            assert_eq!(meant(line), Some(Meant::Misspelled(name)), "{line}");
        }
        for line in ["status", "--help", "-V"] {
            let subcommand = Some(Meant::Subcommand(line.to_owned()));
            assert_eq!(meant(&format!("-- {line} --exit-code")), subcommand);
        }
        for line in ["node server.js", "waitress-serve", "newrelic-admin", "sh", "./statsu", "npm"]
        {
            assert_eq!(meant(line), None, "{line}");
        }
        for line in ["-- statsu", "run statsu", "-- /premain"] {
            assert_eq!(meant(line), None, "{line}");
        }
    }

    #[test]
    fn options_keep_their_order() {
        let parsed = parse("--rewrite TERM:QUIT --rewrite HUP:0 true").unwrap();
        assert_eq!(given(&parsed), [("rewrite", "TERM:QUIT"), ("rewrite", "HUP:0")]);
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
            assert!(help.contains(&option.usage()), "{}", option.field);
        }
        for command in COMMANDS {
            assert!(help.contains(&command.line()), "{}", command.name);
        }
    }
}
