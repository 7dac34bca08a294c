//! [`Config::read`]: from options and variables to settings, with every problem in one go.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::cli::CommandLine;
use super::given::Given;
use super::option::Options;
use super::value::{
    Count, Flag, HookCommand, HookDirectory, HttpTarget, Limit, LogFormat, Output, Pause,
    ServerLimit, TcpTarget, Timeout, VariableName,
};
use super::{Command, Config, Environment, Found, Health, Problems, Status, family};
use crate::hooks::{self, Hook, entrypoint};
use crate::init::rules::{Remap, Rewrite, Rules, SignalTarget};
use crate::launch;
use crate::log;
use crate::migrate::settings::{self as migrate, OnDrift, SourceChoice};
use crate::value::Problem;
use crate::wait::{self, Target};

impl Config {
    /// Reads everything, and reports everything that is wrong with it in one go.
    ///
    /// # Errors
    /// [`Problems`], which show no secret.
    pub fn read(
        arguments: impl IntoIterator<Item = OsString>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Config, Problems> {
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        let mut environment = Environment::new(environment);
        let mut options = environment.options(&mut warnings);
        let line =
            CommandLine::parse(arguments).map_err(|error| Problems::Usage(error, options.log()))?;
        for (option, text) in &line.options {
            options.give(option, text);
        }
        options.check_term_delay();
        let entrypoint = match line.command {
            Command::Run(_) => options.entrypoint(&mut problems, &mut warnings),
            _ => Vec::new(),
        };
        options.take_problems(&mut problems, &mut warnings);
        let found = family::find(&mut environment, &mut problems, &mut warnings);
        check_candidates(&options, &line.command, &found, &mut problems, &mut warnings);
        if !problems.is_empty() {
            return Err(Problems::Values(problems, options.log()));
        }
        let dropped: Vec<_> = options.drop_env.each(|VariableName(name)| name).collect();
        Ok(Config {
            log: options.log(),
            wait: options.wait(&line.command, found.server),
            database: found.database,
            migrate: options.migrate(),
            hooks: options.hooks(entrypoint),
            init: options.init(),
            launch: launch::Settings {
                user: options.user.value(),
                environment: environment.for_application(&dropped),
            },
            status: options.status(),
            health: options.health(),
            command: line.command,
            warnings,
        })
    }
}

/// Where no database is configured: names the variables that look as if they named one, and stops a
/// start with an option that needs one.
fn check_candidates(
    options: &Options,
    command: &Command,
    found: &Found,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) {
    /// More than a container has for one database.
    const MOST: usize = 8;
    let asks = match command {
        Command::Health
        | Command::Validate
        | Command::New(_)
        | Command::Completions(_)
        | Command::Help
        | Command::Version => return,
        command => matches!(command, Command::Run(_)),
    };
    if found.database.is_some() || found.is_foreign || !problems.is_empty() {
        return;
    }
    let names = &found.candidates[..found.candidates.len().min(MOST)];
    let remedy = "set DATABASE_URL, or POSTGRES_HOST, POSTGRES_USER, POSTGRES_PASSWORD and \
                  POSTGRES_DB";
    let list = match names {
        [] => String::new(),
        names => format!(", but these variables look as if they did: {}", names.join(", ")),
    };
    let optional = options.db_optional.get().is_some_and(|Flag(optional)| *optional);
    match options.needs_database().filter(|_| asks && !(optional && names.is_empty())) {
        Some(option) => problems.push(Problem {
            name: "the environment".to_owned(),
            what: format!("does not name the database that {option} needs{list}; {remedy}"),
        }),
        None if names.is_empty() => {}
        None => warnings.push(format!(
            "the environment does not name a database in the way that premain reads it{list}; {remedy}"
        )),
    }
}

const GRACE: Limit = Limit(Some(Duration::from_secs(8)));

impl Options {
    /// The first option given that makes no sense without a database.
    fn needs_database(&self) -> Option<&str> {
        let source = self.migrations.get().filter(|source| **source != SourceChoice::None);
        [
            source.map(|_| self.migrations.name()),
            self.format.get().map(|_| self.format.name()),
            self.history_table.get().map(|_| self.history_table.name()),
            self.generate.get().map(|_| self.generate.name()),
            self.before_migrate.get().map(|_| self.before_migrate.name()),
            self.after_migrate.get().map(|_| self.after_migrate.name()),
        ]
        .into_iter()
        .flatten()
        .next()
    }

    fn log(&self) -> log::Settings {
        log::Settings {
            level: self.log.get().copied().unwrap_or(log::Settings::default().level),
            json: self.log_format.get() == Some(&LogFormat::Json),
        }
    }

    fn wait(&mut self, command: &Command, server: Option<Target>) -> wait::Settings {
        let timeout = match command {
            // A user waits for the output.
            Command::Status | Command::Plan => Duration::from_secs(2),
            _ => Duration::from_mins(1),
        };
        wait::Settings {
            timeout: self.wait_timeout.or(Limit(Some(timeout))).0,
            targets: self.wait_for.each(|target| target).chain(server).collect(),
            db_optional: self.db_optional.or(Flag(false)).0,
        }
    }

    fn migrate(&mut self) -> migrate::Settings {
        let lock_timeout = ServerLimit(Some(Duration::from_mins(5)));
        let ddl_lock_timeout = ServerLimit(Some(Duration::from_secs(5)));
        migrate::Settings {
            source: self.migrations.or(SourceChoice::Auto),
            format: self.format.value(),
            history_table: self.history_table.value(),
            lock_timeout: self.lock_timeout.or(lock_timeout).0,
            ddl_lock_timeout: self.ddl_lock_timeout.or(ddl_lock_timeout).0,
            ddl_retries: self.ddl_retries.or(Count(10)).0,
            on_drift: OnDrift {
                edited: self.on_edited.value(),
                missing: self.on_missing.value(),
                ahead: self.on_ahead.value(),
                out_of_order: self.on_out_of_order.value(),
            },
        }
    }

    fn hooks(&mut self, entrypoint: Vec<Hook>) -> hooks::Settings {
        let hook = |name: &str, command: &mut Given<HookCommand>| {
            let HookCommand(words) = command.value()?;
            Some(Hook { name: name.to_owned(), words })
        };
        hooks::Settings {
            generate: hook("--generate", &mut self.generate),
            before_migrate: hook("--before-migrate", &mut self.before_migrate),
            after_migrate: hook("--after-migrate", &mut self.after_migrate),
            entrypoint,
        }
    }

    /// The executables of `--entrypoint-d`.
    fn entrypoint(&self, problems: &mut Vec<Problem>, warnings: &mut Vec<String>) -> Vec<Hook> {
        let (name, directory) = match self.entrypoint_d.get() {
            Some(HookDirectory(None)) => return Vec::new(),
            Some(HookDirectory(Some(directory))) => (self.entrypoint_d.name(), directory.as_path()),
            None => ("PREMAIN_ENTRYPOINT_D", Path::new(entrypoint::ENTRYPOINT)),
        };
        match entrypoint::executables(directory, warnings) {
            Ok(hooks) => hooks,
            // Most images have none.
            Err(error)
                if self.entrypoint_d.get().is_none() && error.kind() == io::ErrorKind::NotFound =>
            {
                Vec::new()
            }
            Err(error) => {
                let directory = directory.display();
                let what = format!("is '{directory}', which cannot be read: {error}");
                problems.push(Problem { name: name.to_owned(), what });
                Vec::new()
            }
        }
    }

    fn check_term_delay(&mut self) {
        let Limit(grace) = *self.grace.get().unwrap_or(&GRACE);
        if let (Some(Pause(delay)), Some(grace)) = (self.term_delay.get(), grace)
            && *delay >= grace
        {
            self.term_delay.complain(
                "shorter than --grace (PREMAIN_GRACE, 8s by default), of which it is a part",
            );
        }
    }

    fn init(&mut self) -> Rules {
        Rules {
            exec: self.exec.or(Flag(false)).0,
            grace: self.grace.or(GRACE).0,
            signal_target: self.signal_target.or(SignalTarget::Child),
            rewrite: self.rewrite.each(|Rewrite(from, to)| (from, to)).collect(),
            term_delay: self.term_delay.or(Pause(Duration::ZERO)).0,
            remap_exit: self.remap_exit.each(|Remap(from, to)| (from, to)).collect(),
            pdeathsig: self.pdeathsig.value(),
        }
    }

    fn health(&mut self) -> Health {
        let page = self.http.value().map(|HttpTarget(target)| target);
        let port = self.tcp.value().map(|TcpTarget(target)| target);
        Health {
            targets: page.into_iter().chain(port).collect(),
            timeout: self.health_timeout.or(Timeout(Duration::from_secs(3))).0,
            boot_ok: self.boot_ok.or(Flag(false)).0,
        }
    }

    fn status(&mut self) -> Status {
        Status {
            json: self.output.value() == Some(Output::Json),
            exit_code: self.exit_code.or(Flag(false)).0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::option::OPTIONS;
    use super::*;

    fn read(line: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let pairs = variables.iter().map(|(name, value)| (name.into(), value.into()));
        Config::read(line.split_whitespace().map(OsString::from), pairs)
            .map_err(|problems| format!("{}: {problems}", problems.exit().code()))
    }

    #[test]
    fn without_options_everything_has_its_default() {
        let config = read("node server.js", &[]).unwrap();
        assert_eq!(config.log, log::Settings::default());
        assert_eq!(config.wait.timeout, Some(Duration::from_mins(1)));
        assert!(config.wait.targets.is_empty() && !config.wait.db_optional);
        assert_eq!(config.database, None);
        assert_eq!(config.migrate.source, SourceChoice::Auto);
        assert_eq!(config.migrate.lock_timeout, Some(Duration::from_mins(5)));
        assert_eq!(config.migrate.ddl_lock_timeout, Some(Duration::from_secs(5)));
        assert_eq!(config.migrate.ddl_retries, 10);
        assert_eq!(config.init.grace, Some(Duration::from_secs(8)));
        assert_eq!(config.init.signal_target, SignalTarget::Child);
        assert_eq!(config.warnings, [""; 0]);
    }

    #[test]
    fn every_option_is_a_variable_and_the_option_wins() {
        let variables = [
            ("PREMAIN_WAIT_TIMEOUT", "0"),
            ("PREMAIN_MIGRATIONS", "db/migrations"),
            ("PREMAIN_REWRITE", "TERM:QUIT HUP:0"),
            ("PREMAIN_LOG_FORMAT", "json"),
            ("PREMAIN_DB_OPTIONAL", "yes"),
        ];
        let config = read("--migrations none true", &variables).unwrap();
        assert_eq!(config.wait.timeout, None);
        assert_eq!(config.migrate.source, SourceChoice::None);
        assert_eq!(config.init.rewrite.len(), 2);
        assert!(config.log.json && config.wait.db_optional);
        let config = read("true", &variables).unwrap();
        assert_eq!(config.migrate.source, SourceChoice::Directory(PathBuf::from("db/migrations")));
    }

    #[test]
    fn an_empty_directory_of_hooks_needs_no_boot() {
        let directory = tempfile::tempdir().unwrap();
        let line = format!("--entrypoint-d {} true", directory.path().display());
        assert!(!read(&line, &[]).unwrap().boots());
        std::fs::copy("/bin/true", directory.path().join("1")).unwrap();
        assert!(read(&line, &[]).unwrap().boots());
        assert!(read(&line.replace("true", "").replace("--", "wait --"), &[]).is_ok());
    }

    #[test]
    fn an_empty_variable_is_unset() {
        let config = read("true", &[("PREMAIN_GRACE", ""), ("DATABASE_URL", "")]).unwrap();
        assert_eq!(config.init.grace, Some(Duration::from_secs(8)));
        assert_eq!(config.database, None);
    }

    #[test]
    fn an_unknown_variable_is_a_warning_that_names_the_nearest() {
        let config = read("true", &[("PREMAIN_WAIT_TIME", "5"), ("PREMAIN_X", "")]).unwrap();
        assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
        assert!(config.warnings[0].contains("unknown variable PREMAIN_WAIT_TIME is ignored"));
        assert!(config.warnings[0].contains("did you mean PREMAIN_WAIT_TIMEOUT?"));
    }

    #[test]
    fn the_variable_of_the_build_is_no_mistake() {
        assert_eq!(read("true", &[("PREMAIN_EMBED", "db")]).unwrap().warnings, [""; 0]);
    }

    #[test]
    fn a_log_file_is_no_option_of_premains() {
        let config = read("true", &[("PREMAIN_LOG_FILE", "/tmp/log")]).unwrap();
        assert!(config.warnings[0].starts_with("unknown variable PREMAIN_LOG_FILE"));
    }

    #[test]
    fn everything_wrong_is_told_in_one_go_and_by_the_name_it_was_given() {
        let variables = [
            ("PREMAIN_GRACE", "soon"),
            ("PREMAIN_LOG", "loud"),
            ("PREMAIN_WAIT_FOR", "db:5432 tcp://a:1"),
            ("DATABASE_URL", "postgres://u:hunter2@h:0/d"),
        ];
        let said = read("true", &variables).unwrap_err();
        let mut lines = said.lines();
        for beginning in [
            "78: PREMAIN_WAIT_FOR is 'db:5432', not tcp://HOST:PORT",
            "PREMAIN_GRACE is 'soon', not a duration",
            "PREMAIN_LOG is 'loud', not one of error, warn",
            "DATABASE_URL says port=0",
        ] {
            let line = lines.next().unwrap();
            assert!(line.starts_with(beginning), "{line} | {beginning}");
        }
        assert_eq!(lines.next(), None);
        assert!(read("--grace soon true", &variables).unwrap_err().starts_with("64: "));
    }

    #[test]
    fn no_value_is_shown_with_its_password() {
        let url = "postgres://u:hunter2@h:0/d";
        for name in ["PREMAIN_WAIT_FOR", "PREMAIN_LOG", "PREMAIN_GRACE", "PREMAIN_REWRITE"] {
            let said = read("true", &[(name, url)]).unwrap_err();
            assert!(said.contains(name) && !said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn a_configuration_can_be_printed_without_secrets() {
        let url = "postgres://u:hunter2@h/d";
        let line = format!("--wait-for {url} true");
        let parsed = CommandLine::parse(line.split(' ').map(OsString::from)).unwrap();
        assert!(!format!("{parsed:?}").contains("hunter2"));
        let config = read(&line, &[("DATABASE_URL", url), ("PGPASSWORD", "hunter2")]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn the_application_gets_what_is_not_premains_alone() {
        let variables = [
            ("MIGRATION_DATABASE_URL", "postgres://owner@h/d"),
            ("TOKEN", "t"),
            ("KEY", "k"),
            ("A", "b"),
        ];
        let config = read("--drop-env TOKEN --drop-env KEY true", &variables).unwrap();
        assert_eq!(config.launch.environment, [("A".into(), "b".into())]);
        assert_eq!(config.database.unwrap().origin, "MIGRATION_DATABASE_URL");
    }

    #[test]
    fn targets_come_from_the_option_and_from_db_host() {
        let config =
            read("--wait-for file:///a --wait-for file:///b true", &[("DB_HOST", "db")]).unwrap();
        let server = Target::PostgresServer { host: "db".to_owned(), port: 5432 };
        let files = ["/a", "/b"].map(|path| Target::File(path.into()));
        assert_eq!(config.wait.targets, [&files[..], &[server]].concat());
    }

    /// Words as they are, where a line would lose the empty ones.
    fn read_words(words: &[&str], variables: &[(&str, &str)]) -> Result<Config, String> {
        let pairs = variables.iter().map(|(name, value)| (name.into(), value.into()));
        Config::read(words.iter().map(OsString::from), pairs)
            .map_err(|problems| format!("{}: {problems}", problems.exit().code()))
    }

    #[test]
    fn an_empty_value_on_the_command_line_is_rejected() {
        for option in OPTIONS {
            for value in ["", "  ", "\n"] {
                let name = format!("--{}", option.name());
                let said = read_words(&[&format!("{name}={value}"), "true"], &[]).unwrap_err();
                assert!(said.starts_with(&format!("64: {name} is empty; ")), "{said}");
            }
        }
    }

    #[test]
    fn an_empty_variable_is_rejected_where_the_default_is_less_safe() {
        for option in OPTIONS {
            for value in ["", "  "] {
                let name = option.variable();
                let read = read_words(&["true"], &[(&name, value)]);
                if ["PREMAIN_USER", "PREMAIN_DROP_ENV"].contains(&&*name) {
                    assert!(read.unwrap_err().starts_with(&format!("78: {name} is empty; ")));
                } else {
                    assert_eq!(read.unwrap().warnings, [""; 0], "{name}");
                }
            }
        }
        let config = read("--user 0:0 true", &[("PREMAIN_USER", "")]).unwrap();
        assert_eq!(config.launch.user.unwrap().uid, 0);
    }

    #[test]
    fn two_values_for_one_option_are_rejected() {
        let said = read("--grace 3s --grace 4s true", &[]).unwrap_err();
        assert_eq!(said, "64: --grace is given twice, as '3s' and as '4s'; keep one");
        let said = read("--generate=hunter2 --generate=hunter3 true", &[]).unwrap_err();
        assert_eq!(said, "64: --generate is given twice; keep one");
        assert!(read("--exec --exec true", &[]).unwrap().init.exec);
        let config = read("--grace 3s true", &[("PREMAIN_GRACE", "soon")]).unwrap();
        assert_eq!(config.init.grace, Some(Duration::from_secs(3)), "an option overrides");
    }

    #[test]
    fn every_value_of_a_repeated_option_is_kept() {
        let line = "--drop-env A --drop-env B --remap-exit 1:2 --remap-exit 3:4 true";
        let variables = [("PREMAIN_DROP_ENV", "C"), ("A", ""), ("B", ""), ("C", "")];
        let config = read(line, &variables).unwrap();
        let names: Vec<_> = config.launch.environment.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["PREMAIN_DROP_ENV", "C"]);
        assert_eq!(config.init.remap_exit, [(1, 2), (3, 4)].into());
        assert!(read("--drop-env A=B true", &[]).unwrap_err().contains("without '='"));
    }

    #[test]
    fn a_command_may_have_several_lines() {
        let script = "echo one\necho two";
        let command = format!("sh -c '{script}'");
        for (words, variables) in [
            (&["--db-optional", "--generate", &command, "true"][..], &[][..]),
            (&["--db-optional", "true"], &[("PREMAIN_GENERATE", &*command)]),
        ] {
            let hook = read_words(words, variables).unwrap().hooks.generate.unwrap();
            assert_eq!(hook.words, ["sh", "-c", script]);
            assert_eq!(hook.name, "--generate");
        }
    }

    #[test]
    fn values_out_of_range_are_rejected() {
        for (line, expected) in [
            ("--lock-timeout 25days", "from 1ms to 2147483647ms"),
            ("--ddl-lock-timeout 1us", "from 1ms to 2147483647ms"),
            ("--grace 999999999years", "at most 136 years"),
            ("--term-delay 999999999years --grace 0", "at most 136 years"),
            ("--health-timeout 0", "at least 1ms"),
            ("--term-delay 9s", "shorter than --grace"),
            ("--ddl-retries 4294967296", "a whole number from 0 to 4294967295"),
        ] {
            let said = read(&format!("{line} true"), &[]).unwrap_err();
            assert!(said.starts_with("64: --") && said.contains(expected), "{line}: {said}");
        }
    }

    #[test]
    fn without_a_database_variables_that_look_like_one_are_named() {
        let half = [("DB_USERNAME", "clerk"), ("DATABASE_HOST", "h"), ("MYSQL_HOST", "m")];
        let named = "look as if they did: DATABASE_HOST, DB_USERNAME; set DATABASE_URL";
        let warnings = read("true", &half).unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains(named), "{warnings:?}");
        assert!(!warnings[0].contains("clerk"), "{warnings:?}");
        for line in [
            "--migrations db",
            "--format prisma",
            "--history-table t",
            "--generate g",
            "--before-migrate b",
            "--after-migrate a",
        ] {
            let option = line.split(' ').next().unwrap();
            let needed =
                format!("78: the environment does not name the database that {option} needs");
            let said = read(&format!("{line} true"), &half).unwrap_err();
            assert!(said.starts_with(&needed) && said.contains(named), "{said}");
            // An optional database may also be none at all.
            assert!(read(&format!("{line} true"), &[]).unwrap_err().starts_with(&needed));
            assert!(read(&format!("--db-optional {line} true"), &half).is_err());
            let optional = read(&format!("--db-optional {line} true"), &[]).unwrap();
            assert_eq!(optional.warnings, [""; 0]);
            // It is of another kind, and the application's.
            assert!(read(&format!("{line} true"), &[("DATABASE_URL", "mysql://h/d")]).is_ok());
        }
        assert!(read("--migrations none true", &[]).is_ok());
        assert_eq!(read("validate --migrations db", &half).unwrap().warnings, [""; 0]);
        let variable = [("PREMAIN_FORMAT", "prisma")];
        assert!(read("true", &variable).unwrap_err().contains("that PREMAIN_FORMAT needs"));
    }

    #[test]
    fn an_unknown_user_is_named_with_the_remedy() {
        let said = read("--user nosuch true", &[]).unwrap_err();
        assert!(said.starts_with("64: --user nosuch: no such user in /etc/passwd; use "), "{said}");
        let said = read("true", &[("PREMAIN_USER", "postgres://u:hunter2@h")]).unwrap_err();
        assert!(!said.contains("hunter2"), "{said}");
    }
}
