//! What premain was told: the command line over the environment, judged in one go.
//!
//! `arguments + environment → CommandLine + Raw → Config | Problems`. Nothing here connects or
//! looks at migrations; all that it reads from the disk are the files that `…_FILE` variables name,
//! and `/etc/passwd` and `/etc/group` for `--user`.

pub mod cli;
pub mod env;
pub mod option;
pub mod secret;
pub mod url;
pub mod user;
pub mod value;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use cli::Command;
pub use env::Environment;
pub use secret::Secret;
pub use url::Database;
pub use user::User;
pub use value::Signal;

use crate::exit::Exit;
use option::{OPTIONS, OptionInfo, PREFIX, Raw};

/// Everything premain was told, valid as far as that can be seen without a server.
#[derive(Debug)]
pub struct Config {
    /// What to do.
    pub command: Command,
    /// What premain prints.
    pub log: Log,
    /// Waiting.
    pub wait: Wait,
    /// The database to wait for and migrate, if there is one.
    pub database: Option<Database>,
    /// Migrating.
    pub migrate: Migrate,
    /// PID 1.
    pub init: Init,
    /// The application's start.
    pub launch: Launch,
    /// `premain status`.
    pub status: Status,
    /// What looks wrong but need not be, a sentence each.
    pub warnings: Vec<String>,
}

/// How premain logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// The least important level that is printed.
    pub level: tracing::Level,
    /// One JSON object a line instead of text.
    pub json: bool,
}

impl Default for Log {
    fn default() -> Self {
        Log { level: tracing::Level::INFO, json: false }
    }
}

/// What to wait for, and how long.
#[derive(Debug, Clone)]
pub struct Wait {
    /// For everything together; `None` for ever.
    pub timeout: Option<Duration>,
    /// Besides the database.
    pub targets: Vec<Target>,
    /// Start the application even if the database does not become ready.
    pub db_optional: bool,
}

/// One more thing to wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A port that accepts connections.
    Tcp {
        /// Name or address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A URL that answers 2xx or 3xx.
    Http(HttpUrl),
    /// A unix socket that accepts connections.
    Unix(PathBuf),
    /// A file that exists.
    File(PathBuf),
    /// A PostgreSQL server that accepts this login.
    Postgres(Box<Database>),
    /// A PostgreSQL server that answers, whoever asks.
    PostgresServer {
        /// Name or address.
        host: String,
        /// Its port.
        port: u16,
    },
}

/// The parts of an `http://` or `https://` URL that a GET needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl {
    /// `https`.
    pub tls: bool,
    /// Name or address, without the brackets of IPv6.
    pub host: String,
    /// 80 or 443 where the URL has none.
    pub port: u16,
    /// Path and query, beginning with `/`.
    pub path: String,
}

/// Where migrations come from and how they are applied.
#[derive(Debug, Clone)]
pub struct Migrate {
    /// The source.
    pub source: SourceChoice,
    /// The layout of a folder, where it was named.
    pub format: Option<Format>,
    /// The history table, where it was named.
    pub ledger: Option<LedgerName>,
    /// How long to wait for the advisory lock; `None` for ever.
    pub lock_timeout: Option<Duration>,
    /// How long a statement may queue for a table lock; `None` for ever.
    pub ddl_lock_timeout: Option<Duration>,
    /// How often a migration that ran into `ddl_lock_timeout` is tried again.
    pub ddl_retries: u32,
}

/// Where to look for migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceChoice {
    /// The usual folders, else what is embedded, else nothing.
    Auto,
    /// What the binary carries.
    Embedded,
    /// Nothing is migrated.
    None,
    /// This folder.
    Folder(PathBuf),
}

/// A folder's layout, and with it the history table's dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `V1__name.sql`, `refinery_schema_history`.
    Refinery,
}

/// A history table as the user named it: quotes taken off, case kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerName {
    /// The schema, if one was named.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
}

/// What PID 1 does with signals and endings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Init {
    /// No init: boot in place.
    pub exec: bool,
    /// From the first TERM or INT to KILL; `None` for never.
    pub grace: Option<Duration>,
    /// Whom signals are forwarded to.
    pub signal_target: SignalTarget,
    /// Signal that arrives → signal that is forwarded, `None` to drop it.
    pub rewrite: BTreeMap<Signal, Option<Signal>>,
    /// Before the first TERM is forwarded.
    pub term_delay: Duration,
    /// The application's status → ours.
    pub remap_exit: BTreeMap<u8, u8>,
    /// What this process gets when its parent dies.
    pub pdeathsig: Option<Signal>,
}

/// Whom signals are forwarded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalTarget {
    /// The application alone.
    Child,
    /// The application's process group.
    Group,
}

/// How the application is started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// As whom, if not as premain itself.
    pub user: Option<User>,
    /// Its environment, without what is premain's alone.
    pub environment: Vec<(OsString, OsString)>,
}

/// `premain status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// JSON instead of a table.
    pub json: bool,
    /// Let the exit status tell.
    pub exit_code: bool,
}

/// One thing that cannot work.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// The option (`--grace`) or variable (`DATABASE_URL`) that says so.
    pub name: String,
    /// What is wrong with it, and what is allowed; without secrets.
    pub what: String,
}

/// Everything that is wrong with what premain was told.
#[derive(Debug)]
pub enum Problems {
    /// The command line has no meaning.
    Usage(cli::UsageError),
    /// Some values cannot work; never empty.
    Values(Vec<Problem>),
}

impl From<cli::UsageError> for Problems {
    fn from(error: cli::UsageError) -> Self {
        Problems::Usage(error)
    }
}

impl Problems {
    /// 64 when the command line is wrong, 78 when only the environment is.
    pub fn exit(&self) -> Exit {
        match self {
            Problems::Usage(_) => Exit::Usage,
            Problems::Values(list) if list.iter().any(|p| p.name.starts_with("--")) => Exit::Usage,
            Problems::Values(_) => Exit::Config,
        }
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    /// One sentence a problem, one problem a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problems::Usage(error) => error.fmt(f),
            Problems::Values(list) => {
                let lines: Vec<_> =
                    list.iter().map(|problem| format!("{} {}", problem.name, problem.what)).collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

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

        let wait_timeout = reader.read("wait-timeout", &raw.wait_timeout, value::limit);
        let log = Log {
            level: reader.read("log", &raw.log, level).unwrap_or(Log::default().level),
            json: reader.read("log-format", &raw.log_format, log_format).unwrap_or_default(),
        };
        let init = Init {
            exec: reader.flag("exec", &raw.exec),
            grace: reader
                .read("grace", &raw.grace, value::limit)
                .unwrap_or(Some(Duration::from_secs(8))),
            signal_target: reader
                .read("signal-target", &raw.signal_target, |text| {
                    value::choice(
                        text,
                        &[("child", SignalTarget::Child), ("group", SignalTarget::Group)],
                    )
                })
                .unwrap_or(SignalTarget::Child),
            rewrite: reader.each("rewrite", &raw.rewrite, value::rewrite).into_iter().collect(),
            term_delay: reader
                .read("term-delay", &raw.term_delay, value::duration)
                .unwrap_or_default(),
            remap_exit: reader.each("remap-exit", &raw.remap_exit, value::remap).into_iter().collect(),
            pdeathsig: reader.read("pdeathsig", &raw.pdeathsig, Signal::parse),
        };
        if init.grace.is_some_and(|grace| init.term_delay >= grace && !init.term_delay.is_zero()) {
            let given = raw.term_delay.as_deref().unwrap_or_default();
            let allowed = "shorter than --grace (PREMAIN_GRACE, 8s by default), of which it is a part";
            reader.complain("term-delay", given, allowed);
        }
        let migrate = Migrate {
            source: reader
                .read("migrations", &raw.migrations, |text| Ok(source(text)))
                .unwrap_or(SourceChoice::Auto),
            format: reader.read("format", &raw.format, |text| {
                value::choice(text, &[("refinery", Format::Refinery)])
            }),
            ledger: reader.read("ledger", &raw.ledger, LedgerName::parse),
            lock_timeout: reader
                .read("lock-timeout", &raw.lock_timeout, value::limit)
                .unwrap_or(Some(Duration::from_secs(300))),
            ddl_lock_timeout: reader
                .read("ddl-lock-timeout", &raw.ddl_lock_timeout, value::limit)
                .unwrap_or(Some(Duration::from_secs(5))),
            ddl_retries: reader.read("ddl-retries", &raw.ddl_retries, value::count).unwrap_or(10),
        };
        let user = reader.read("user", &raw.user, User::parse);
        let status = Status {
            json: reader
                .read("output", &raw.output, |text| {
                    value::choice(text, &[("table", false), ("json", true)])
                })
                .unwrap_or_default(),
            exit_code: reader.flag("exit-code", &raw.exit_code),
        };
        let mut targets = reader.each("wait-for", &raw.wait_for, url::target);
        let db_optional = reader.flag("db-optional", &raw.db_optional);
        let dropped: Vec<String> =
            reader.each("drop-env", &raw.drop_env, |name| Ok(name.to_owned()));
        let Reader { mut problems, mut warnings, .. } = reader;

        let found = environment.databases(&mut problems, &mut warnings);
        targets.extend(found.server);

        if !problems.is_empty() {
            return Err(Problems::Values(problems));
        }
        Ok(Config {
            command: line.command,
            log,
            wait: Wait {
                timeout: wait_timeout.unwrap_or(Some(Duration::from_secs(60))),
                targets,
                db_optional,
            },
            database: found.database,
            migrate,
            init,
            launch: Launch { user, environment: environment.for_application(&dropped) },
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

impl<'a> Reader<'a> {
    fn new(line: &'a cli::CommandLine, environment: &Environment) -> Self {
        let mut merged = BTreeMap::new();
        let mut warnings = Vec::new();
        for (name, value) in environment.with_prefix(PREFIX) {
            if OPTIONS.iter().any(|option| option.variable() == name) {
                merged.insert(name.to_owned(), value.to_owned());
            } else {
                warnings.push(unknown_variable(name));
            }
        }
        for (name, value) in &line.options {
            if let Some(info) = OptionInfo::find(name) {
                merged.insert(info.variable(), value.clone());
            }
        }
        Reader { line, merged, problems: Vec::new(), warnings }
    }

    fn raw(&mut self) -> Raw {
        // Every field is an optional string: there is nothing for envy to refuse.
        envy::prefixed(PREFIX).from_iter(std::mem::take(&mut self.merged)).unwrap_or_default()
    }

    /// How the user named this option: as an option or as a variable.
    fn name(&self, option: &str) -> String {
        if self.line.options.contains_key(option) {
            format!("--{option}")
        } else {
            OptionInfo::find(option).map(OptionInfo::variable).unwrap_or_default()
        }
    }

    fn complain(&mut self, option: &str, found: &str, allowed: &str) {
        let name = self.name(option);
        self.problems.push(Problem { name, what: format!("is '{found}', not {allowed}") });
    }

    fn read<T>(
        &mut self,
        option: &str,
        raw: &Option<String>,
        parse: impl Fn(&str) -> Result<T, value::Allowed>,
    ) -> Option<T> {
        // An option given twice: the last one counts.
        let text = raw.as_deref()?.lines().last()?.trim();
        match parse(text) {
            Ok(value) => Some(value),
            Err(allowed) => {
                self.complain(option, text, &allowed);
                None
            }
        }
    }

    fn flag(&mut self, option: &str, raw: &Option<String>) -> bool {
        self.read(option, raw, value::flag).unwrap_or_default()
    }

    fn each<T>(
        &mut self,
        option: &str,
        raw: &Option<String>,
        parse: impl Fn(&str) -> Result<T, value::Allowed>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for word in value::words(raw.as_deref().unwrap_or_default()) {
            match parse(word) {
                Ok(value) => values.push(value),
                Err(allowed) => self.complain(option, &url::redact(word), &allowed),
            }
        }
        values
    }
}

fn unknown_variable(name: &str) -> String {
    let known: Vec<String> = OPTIONS.iter().map(OptionInfo::variable).collect();
    let bare = |name: &'static str| name;
    let hint = cli::nearest(
        &name[PREFIX.len()..].to_lowercase().replace('_', "-"),
        OPTIONS.iter().map(|option| bare(option.name)),
    )
    .and_then(|near| known.iter().find(|known| known[PREFIX.len()..] == near.replace('-', "_").to_uppercase()))
    .map(|near| format!("; did you mean {near}?"))
    .unwrap_or_default();
    format!("{name} is no variable of premain's and has no effect{hint}")
}

fn level(text: &str) -> Result<tracing::Level, value::Allowed> {
    value::choice(
        text,
        &[
            ("error", tracing::Level::ERROR),
            ("warn", tracing::Level::WARN),
            ("info", tracing::Level::INFO),
            ("debug", tracing::Level::DEBUG),
            ("trace", tracing::Level::TRACE),
        ],
    )
}

fn log_format(text: &str) -> Result<bool, value::Allowed> {
    value::choice(text, &[("text", false), ("json", true)])
}

fn source(text: &str) -> SourceChoice {
    match text {
        "auto" => SourceChoice::Auto,
        "embedded" => SourceChoice::Embedded,
        "none" => SourceChoice::None,
        folder => SourceChoice::Folder(folder.into()),
    }
}

impl LedgerName {
    /// `table`, `schema.table`, `"My schema"."my table"`. Unquoted parts keep their case, as every
    /// migration tool's own setting does.
    ///
    /// # Errors
    /// What a table name looks like.
    pub fn parse(text: &str) -> Result<LedgerName, value::Allowed> {
        let allowed = || "[SCHEMA.]TABLE, each part plain or in double quotes".to_owned();
        let mut parts = vec![String::new()];
        let mut quoted = false;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '"' if quoted && characters.peek() == Some(&'"') => {
                    characters.next();
                    parts.last_mut().ok_or_else(allowed)?.push('"');
                }
                '"' => quoted = !quoted,
                '.' if !quoted => parts.push(String::new()),
                '\0' => return Err(allowed()),
                other => parts.last_mut().ok_or_else(allowed)?.push(other),
            }
        }
        if quoted || parts.iter().any(String::is_empty) {
            return Err(allowed());
        }
        match parts.as_slice() {
            [table] => Ok(LedgerName { schema: None, table: table.clone() }),
            [schema, table] => {
                Ok(LedgerName { schema: Some(schema.clone()), table: table.clone() })
            }
            _ => Err(allowed()),
        }
    }
}
