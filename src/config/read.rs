//! [`Config::read`]: options over variables, each value judged, every complaint kept.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::time::Duration;

use super::option::Raw;
use super::reader::Reader;
use super::{Command, Config, Environment, Health, Problems, Status, cli, value};
use crate::hooks::{self, Hook, entrypoint};
use crate::init::{Rules, SignalTarget, rules};
use crate::launch::{self, User};
use crate::log;
use crate::migrate;
use crate::migrate::formats::Format;
use crate::migrate::settings::{HistoryTableName, OnDrift, Policy, SourceChoice};
use crate::signal::Signal;
use crate::value::Problem;
use crate::wait::{self, Target, settings};

impl Config {
    /// Reads everything, and reports everything that is wrong with it in one go.
    ///
    /// # Errors
    /// [`Problems`]; no secret is part of it.
    pub fn read(
        arguments: impl IntoIterator<Item = OsString>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Config, Problems> {
        let mut environment = Environment::new(environment);
        let line = cli::CommandLine::parse(arguments)
            .map_err(|error| Problems::Usage(error, log_settings(&environment)))?;
        let mut reader = Reader::new(&line, &environment);
        let raw = reader.raw();

        let log = reader.log(&raw);
        let init = reader.init(&raw);
        let migrate = reader.migrate(&raw);
        let status = reader.status(&raw);
        let health = reader.health(&raw);
        let hooks = reader.hooks(&raw);
        let mut wait = reader.wait(&raw);
        let user = reader.read("user", raw.user.as_deref(), User::parse);
        let dropped: Vec<String> =
            reader.each("drop-env", raw.drop_env.as_deref(), |name| Ok(name.to_owned()));
        let Reader { mut problems, mut warnings, .. } = reader;

        let found = environment.databases(&mut problems, &mut warnings);
        wait.targets.extend(found.server);

        if !problems.is_empty() {
            return Err(Problems::Values(problems, log));
        }
        Ok(Config {
            command: line.command,
            log,
            wait,
            database: found.database,
            migrate,
            hooks,
            init,
            launch: launch::Settings { user, environment: environment.for_application(&dropped) },
            status,
            health,
            warnings,
        })
    }
}

/// How to log where the command line means nothing: as the environment alone has it.
fn log_settings(environment: &Environment) -> log::Settings {
    let nothing = cli::CommandLine { command: Command::Help, options: BTreeMap::new() };
    let mut reader = Reader::new(&nothing, environment);
    let raw = reader.raw();
    reader.log(&raw)
}

/// The parts of the configuration.
impl Reader<'_> {
    fn log(&mut self, raw: &Raw) -> log::Settings {
        let levels = [
            ("error", tracing::Level::ERROR),
            ("warn", tracing::Level::WARN),
            ("info", tracing::Level::INFO),
            ("debug", tracing::Level::DEBUG),
            ("trace", tracing::Level::TRACE),
        ];
        let level = self.choice("log", raw.log.as_deref(), &levels);
        let json = self.choice(
            "log-format",
            raw.log_format.as_deref(),
            &[("text", false), ("json", true)],
        );
        log::Settings {
            level: level.unwrap_or(log::Settings::default().level),
            json: json.unwrap_or_default(),
        }
    }

    fn wait(&mut self, raw: &Raw) -> wait::Settings {
        let timeout = self.read("wait-timeout", raw.wait_timeout.as_deref(), value::limit);
        let db_optional = self.flag("db-optional", raw.db_optional.as_deref());
        wait::Settings {
            timeout: timeout.unwrap_or(Some(match self.line.command {
                // Somebody is looking at a screen.
                Command::Status | Command::Plan => Duration::from_secs(2),
                _ => Duration::from_mins(1),
            })),
            targets: self.targets(raw.wait_for.as_deref()),
            db_optional,
        }
    }

    fn targets(&mut self, raw: Option<&str>) -> Vec<Target> {
        let origin = self.name("wait-for");
        let mut doubts = Vec::new();
        let targets =
            self.each("wait-for", raw, |text| settings::target(text, &origin, &mut doubts));
        self.warnings.append(&mut doubts);
        targets
    }

    fn migrate(&mut self, raw: &Raw) -> migrate::Settings {
        let source = self.read("migrations", raw.migrations.as_deref(), |text| Ok(source(text)));
        let format = self.read("format", raw.format.as_deref(), Format::parse);
        let history_table =
            self.read("history-table", raw.history_table.as_deref(), HistoryTableName::parse);
        let lock_timeout = self.read("lock-timeout", raw.lock_timeout.as_deref(), value::limit);
        let ddl_lock_timeout =
            self.read("ddl-lock-timeout", raw.ddl_lock_timeout.as_deref(), value::limit);
        let ddl_retries = self.read("ddl-retries", raw.ddl_retries.as_deref(), value::count);
        migrate::Settings {
            source: source.unwrap_or(SourceChoice::Auto),
            format,
            history_table,
            lock_timeout: lock_timeout.unwrap_or(Some(Duration::from_mins(5))),
            ddl_lock_timeout: ddl_lock_timeout.unwrap_or(Some(Duration::from_secs(5))),
            ddl_retries: ddl_retries.unwrap_or(10),
            on_drift: OnDrift {
                edited: self.choice("on-edited", raw.on_edited.as_deref(), Policy::ALL),
                missing: self.choice("on-missing", raw.on_missing.as_deref(), Policy::ALL),
                ahead: self.choice("on-ahead", raw.on_ahead.as_deref(), Policy::ALL),
                out_of_order: self.choice(
                    "on-out-of-order",
                    raw.on_out_of_order.as_deref(),
                    Policy::ALL,
                ),
            },
        }
    }

    fn init(&mut self, raw: &Raw) -> Rules {
        let targets = [("child", SignalTarget::Child), ("group", SignalTarget::Group)];
        let grace = self.read("grace", raw.grace.as_deref(), value::limit);
        let signal_target = self.choice("signal-target", raw.signal_target.as_deref(), &targets);
        let grace = grace.unwrap_or(Some(Duration::from_secs(8)));
        let term_delay = self.read("term-delay", raw.term_delay.as_deref(), value::duration);
        if let Some((delay, grace)) = term_delay.zip(grace)
            && delay >= grace
        {
            let given = raw.term_delay.as_deref().unwrap_or_default();
            let allowed =
                "shorter than --grace (PREMAIN_GRACE, 8s by default), of which it is a part";
            self.complain("term-delay", given, allowed);
        }
        Rules {
            exec: self.flag("exec", raw.exec.as_deref()),
            grace,
            signal_target: signal_target.unwrap_or(SignalTarget::Child),
            rewrite: self
                .each("rewrite", raw.rewrite.as_deref(), rules::rewrite)
                .into_iter()
                .collect(),
            term_delay: term_delay.unwrap_or_default(),
            remap_exit: self
                .each("remap-exit", raw.remap_exit.as_deref(), rules::remap)
                .into_iter()
                .collect(),
            pdeathsig: self.read("pdeathsig", raw.pdeathsig.as_deref(), Signal::parse),
        }
    }

    fn hooks(&mut self, raw: &Raw) -> hooks::Settings {
        hooks::Settings {
            generate: self.hook("generate", raw.generate.as_deref()),
            before_migrate: self.hook("before-migrate", raw.before_migrate.as_deref()),
            after_migrate: self.hook("after-migrate", raw.after_migrate.as_deref()),
            entrypoint: match self.line.command {
                Command::Run(_) => self.entrypoint(raw.entrypoint_d.as_deref()),
                _ => Vec::new(),
            },
        }
    }

    /// A command may hold a password: a complaint never shows it. A variable may have several lines.
    fn hook(&mut self, option: &str, raw: Option<&str>) -> Option<Hook> {
        let text = match self.line.options.contains_key(option) {
            true => raw?.lines().last()?,
            false => raw?,
        };
        let text = text.trim();
        let hook = Hook::parse(option, text);
        hook.map_err(|what| self.problems.push(Problem { name: self.name(option), what })).ok()
    }

    fn entrypoint(&mut self, raw: Option<&str>) -> Vec<Hook> {
        let folder = match raw.and_then(|text| text.lines().last()).map(str::trim) {
            Some("none") => return Vec::new(),
            Some(folder) => folder,
            None => entrypoint::ENTRYPOINT,
        };
        match entrypoint::executables(folder.as_ref(), &mut self.warnings) {
            Ok(hooks) => hooks,
            // Most images have none.
            Err(error) if error.kind() == io::ErrorKind::NotFound && raw.is_none() => Vec::new(),
            Err(error) => {
                let what = format!("is '{folder}', which cannot be read: {error}");
                self.problems.push(Problem { name: self.name("entrypoint-d"), what });
                Vec::new()
            }
        }
    }

    fn health(&mut self, raw: &Raw) -> Health {
        // Neither has a form that could come with a doubt.
        let parse = |text: &str| settings::target(text, "", &mut Vec::new());
        let page = self.read("http", raw.http.as_deref(), |text| match text.split_once("://") {
            Some(("http" | "https", _)) => parse(text),
            _ => Err("http(s)://HOST[:PORT][/PATH]".to_owned()),
        });
        let port = self.read("tcp", raw.tcp.as_deref(), |text| {
            parse(&format!("tcp://{text}")).map_err(|_| "HOST:PORT".to_owned())
        });
        Health {
            targets: page.into_iter().chain(port).collect(),
            timeout: self
                .read("health-timeout", raw.health_timeout.as_deref(), value::duration)
                .unwrap_or(Duration::from_secs(3)),
            boot_ok: self.flag("boot-ok", raw.boot_ok.as_deref()),
        }
    }

    fn status(&mut self, raw: &Raw) -> Status {
        let json =
            self.choice("output", raw.output.as_deref(), &[("table", false), ("json", true)]);
        Status {
            json: json.unwrap_or_default(),
            exit_code: self.flag("exit-code", raw.exit_code.as_deref()),
        }
    }
}

fn source(text: &str) -> SourceChoice {
    match text {
        "auto" => SourceChoice::Auto,
        "embedded" => SourceChoice::Embedded,
        "none" => SourceChoice::None,
        folder => SourceChoice::Directory(folder.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

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
    fn an_empty_folder_of_hooks_is_nothing_to_boot_for() {
        let folder = tempfile::tempdir().unwrap();
        let line = format!("--entrypoint-d {} true", folder.path().display());
        assert!(!read(&line, &[]).unwrap().boots());
        std::fs::copy("/bin/true", folder.path().join("1")).unwrap();
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
        assert!(config.warnings[0].contains("PREMAIN_WAIT_TIME is no variable"));
        assert!(config.warnings[0].contains("did you mean PREMAIN_WAIT_TIMEOUT?"));
    }

    #[test]
    fn the_variable_of_the_build_is_no_mistake() {
        assert_eq!(read("true", &[("PREMAIN_EMBED", "db")]).unwrap().warnings, [""; 0]);
    }

    #[test]
    fn a_log_file_is_no_option_of_premains() {
        let config = read("true", &[("PREMAIN_LOG_FILE", "/tmp/log")]).unwrap();
        assert!(config.warnings[0].starts_with("PREMAIN_LOG_FILE is no variable"));
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
            "78: PREMAIN_LOG is 'loud', not one of error, warn",
            "PREMAIN_GRACE is 'soon', not a duration",
            "PREMAIN_WAIT_FOR is 'db:5432', not tcp://HOST:PORT",
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
        let parsed = cli::CommandLine::parse(line.split(' ').map(OsString::from)).unwrap();
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
}
