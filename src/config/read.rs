//! [`Config::read`]: options over variables, each value judged, every complaint kept.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use super::option::{OPTIONS, OptionInfo, PREFIX, Raw};
use super::{
    Config, Environment, Format, Init, Launch, LedgerName, Log, Migrate, Problem, Problems, Signal,
    SignalTarget, SourceChoice, Status, Target, Wait, cli, target, url, value,
};

impl Config {
    /// Reads everything, and reports everything that is wrong with it in one go.
    ///
    /// # Errors
    /// [`Problems`]; no secret is part of it.
    pub fn read(
        arguments: impl IntoIterator<Item = OsString>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Config, Problems> {
        let line = cli::CommandLine::parse(arguments)?;
        let mut environment = Environment::new(environment);
        let mut reader = Reader::new(&line, &environment);
        let raw = reader.raw();

        let log = reader.log(&raw);
        let init = reader.init(&raw);
        let migrate = reader.migrate(&raw);
        let status = reader.status(&raw);
        let mut wait = reader.wait(&raw);
        let dropped: Vec<String> = reader.each("drop-env", raw.drop_env.as_deref(), |name| {
            Ok(name.to_owned())
        });
        let Reader {
            mut problems,
            mut warnings,
            ..
        } = reader;

        let found = environment.databases(&mut problems, &mut warnings);
        wait.targets.extend(found.server);

        if !problems.is_empty() {
            return Err(Problems::Values(problems));
        }
        Ok(Config {
            command: line.command,
            log,
            wait,
            database: found.database,
            migrate,
            init,
            launch: Launch {
                user: raw.user,
                environment: environment.for_application(&dropped),
            },
            status,
            warnings,
        })
    }
}

/// Judges raw values one by one and keeps every complaint.
struct Reader<'a> {
    line: &'a cli::CommandLine,
    merged: BTreeMap<String, String>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

/// The parts of the configuration.
impl Reader<'_> {
    fn log(&mut self, raw: &Raw) -> Log {
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
        Log {
            level: level.unwrap_or(Log::default().level),
            json: json.unwrap_or_default(),
        }
    }

    fn wait(&mut self, raw: &Raw) -> Wait {
        let timeout = self.read("wait-timeout", raw.wait_timeout.as_deref(), value::limit);
        let db_optional = self.flag("db-optional", raw.db_optional.as_deref());
        Wait {
            timeout: timeout.unwrap_or(Some(Duration::from_mins(1))),
            targets: self.targets(raw.wait_for.as_deref()),
            db_optional,
        }
    }

    fn targets(&mut self, raw: Option<&str>) -> Vec<Target> {
        let origin = self.name("wait-for");
        let mut doubts = Vec::new();
        let targets = self.each("wait-for", raw, |text| {
            target::target(text, &origin, &mut doubts)
        });
        self.warnings.append(&mut doubts);
        targets
    }

    fn migrate(&mut self, raw: &Raw) -> Migrate {
        let source = self.read("migrations", raw.migrations.as_deref(), |text| {
            Ok(source(text))
        });
        let format = self.choice(
            "format",
            raw.format.as_deref(),
            &[("refinery", Format::Refinery)],
        );
        let ledger = self.read("ledger", raw.ledger.as_deref(), LedgerName::parse);
        let lock_timeout = self.read("lock-timeout", raw.lock_timeout.as_deref(), value::limit);
        let ddl_lock_timeout = self.read(
            "ddl-lock-timeout",
            raw.ddl_lock_timeout.as_deref(),
            value::limit,
        );
        let ddl_retries = self.read("ddl-retries", raw.ddl_retries.as_deref(), value::count);
        Migrate {
            source: source.unwrap_or(SourceChoice::Auto),
            format,
            ledger,
            lock_timeout: lock_timeout.unwrap_or(Some(Duration::from_mins(5))),
            ddl_lock_timeout: ddl_lock_timeout.unwrap_or(Some(Duration::from_secs(5))),
            ddl_retries: ddl_retries.unwrap_or(10),
        }
    }

    fn init(&mut self, raw: &Raw) -> Init {
        let targets = [
            ("child", SignalTarget::Child),
            ("group", SignalTarget::Group),
        ];
        let grace = self.read("grace", raw.grace.as_deref(), value::limit);
        let signal_target = self.choice("signal-target", raw.signal_target.as_deref(), &targets);
        let term_delay = self.read("term-delay", raw.term_delay.as_deref(), value::duration);
        Init {
            exec: self.flag("exec", raw.exec.as_deref()),
            grace: grace.unwrap_or(Some(Duration::from_secs(8))),
            signal_target: signal_target.unwrap_or(SignalTarget::Child),
            rewrite: self
                .each("rewrite", raw.rewrite.as_deref(), value::rewrite)
                .into_iter()
                .collect(),
            term_delay: term_delay.unwrap_or_default(),
            remap_exit: self
                .each("remap-exit", raw.remap_exit.as_deref(), value::remap)
                .into_iter()
                .collect(),
            pdeathsig: self.read("pdeathsig", raw.pdeathsig.as_deref(), Signal::parse),
        }
    }

    fn status(&mut self, raw: &Raw) -> Status {
        let json = self.choice(
            "output",
            raw.output.as_deref(),
            &[("table", false), ("json", true)],
        );
        Status {
            json: json.unwrap_or_default(),
            exit_code: self.flag("exit-code", raw.exit_code.as_deref()),
        }
    }
}

/// Single values.
impl<'a> Reader<'a> {
    fn new(line: &'a cli::CommandLine, environment: &Environment) -> Self {
        let mut merged = BTreeMap::new();
        let mut warnings = Vec::new();
        for (name, value) in environment.with_prefix(PREFIX) {
            if OPTIONS.iter().any(|option| option.variable() == name) {
                merged.insert(name.to_owned(), value.to_owned());
            } else if name != AT_BUILD_TIME {
                warnings.push(unknown_variable(name));
            }
        }
        for (name, value) in &line.options {
            if let Some(info) = OptionInfo::find(name) {
                merged.insert(info.variable(), value.clone());
            }
        }
        Reader {
            line,
            merged,
            problems: Vec::new(),
            warnings,
        }
    }

    fn raw(&mut self) -> Raw {
        // Every field is an optional string: there is nothing for envy to refuse.
        envy::prefixed(PREFIX)
            .from_iter(std::mem::take(&mut self.merged))
            .unwrap_or_default()
    }

    /// How the user named this option: as an option or as a variable.
    fn name(&self, option: &str) -> String {
        if self.line.options.contains_key(option) {
            format!("--{option}")
        } else {
            OptionInfo::find(option)
                .map(OptionInfo::variable)
                .unwrap_or_default()
        }
    }

    fn complain(&mut self, option: &str, found: &str, allowed: &str) {
        let what = format!("is '{}', not {allowed}", url::redact(found));
        self.problems.push(Problem {
            name: self.name(option),
            what,
        });
    }

    fn read<T>(
        &mut self,
        option: &str,
        raw: Option<&str>,
        parse: impl Fn(&str) -> Result<T, value::Allowed>,
    ) -> Option<T> {
        // An option given twice: the last one counts.
        let text = raw?.lines().last()?.trim();
        match parse(text) {
            Ok(value) => Some(value),
            Err(allowed) => {
                self.complain(option, text, &allowed);
                None
            }
        }
    }

    fn choice<T: Copy>(
        &mut self,
        option: &str,
        raw: Option<&str>,
        choices: &[(&str, T)],
    ) -> Option<T> {
        self.read(option, raw, |text| value::choice(text, choices))
    }

    fn flag(&mut self, option: &str, raw: Option<&str>) -> bool {
        self.read(option, raw, value::flag).unwrap_or_default()
    }

    fn each<T>(
        &mut self,
        option: &str,
        raw: Option<&str>,
        mut parse: impl FnMut(&str) -> Result<T, value::Allowed>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for word in value::words(raw.unwrap_or_default()) {
            match parse(word) {
                Ok(value) => values.push(value),
                Err(allowed) => self.complain(option, word, &allowed),
            }
        }
        values
    }
}

/// The folder to embed when premain is built; an image may carry it on.
const AT_BUILD_TIME: &str = "PREMAIN_EMBED";

fn unknown_variable(name: &str) -> String {
    let option = name
        .trim_start_matches(PREFIX)
        .to_lowercase()
        .replace('_', "-");
    let hint = cli::nearest(&option, OPTIONS.iter().map(|option| option.name))
        .and_then(OptionInfo::find)
        .map(|near| format!("; did you mean {}?", near.variable()))
        .unwrap_or_default();
    format!("{name} is no variable of premain's and has no effect{hint}")
}

fn source(text: &str) -> SourceChoice {
    match text {
        "auto" => SourceChoice::Auto,
        "embedded" => SourceChoice::Embedded,
        "none" => SourceChoice::None,
        folder => SourceChoice::Folder(folder.into()),
    }
}
