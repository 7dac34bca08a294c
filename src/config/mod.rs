//! What premain was told: the command line over the environment, judged in one go.
//!
//! `arguments + environment → CommandLine + Raw → Config | Problems`. Nothing here connects or
//! looks at migrations; all that it reads from the disk are the files that `…_FILE` variables and
//! TLS parameters name, `/etc/passwd` and `/etc/group` for users, and which hooks there are.

pub mod cli;
pub mod command;
pub mod database;
pub mod env;
mod family;
pub mod hook;
pub mod option;
mod parameters;
mod read;
mod reader;
pub mod secret;
mod settings;
pub mod target;
mod tls;
pub mod url;
pub mod user;
pub mod value;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use command::{Command, Resolution, Shell};
pub use database::{ChannelBinding, Database, Host, RootCertificates, SessionTarget, SslMode, Tls};
pub use env::Environment;
pub use family::Found;
pub use hook::{Hook, Hooks};
pub use secret::Secret;
pub use user::User;
pub use value::Signal;

use crate::exit::Exit;

/// Everything premain was told, valid as far as that can be seen without a server.
#[derive(Debug, Clone)]
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
    /// What else runs before the application.
    pub hooks: Hooks,
    /// PID 1.
    pub init: Init,
    /// The application's start.
    pub launch: Launch,
    /// `premain status`.
    pub status: Status,
    /// `premain health`.
    pub health: Health,
    /// What looks wrong but need not be, a sentence each.
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
    /// What to do about drift, where that was said.
    pub on_drift: OnDrift,
}

/// What to do about one kind of drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Stop.
    Fail,
    /// Say so and go on.
    Warn,
    /// Go on.
    Ignore,
}

impl Policy {
    /// Every policy by its name.
    pub const ALL: &[(&str, Policy)] =
        &[("fail", Policy::Fail), ("warn", Policy::Warn), ("ignore", Policy::Ignore)];

    /// `warn`
    pub fn name(self) -> &'static str {
        Policy::ALL.iter().find(|(_, policy)| *policy == self).map_or("", |(name, _)| name)
    }
}

/// What the user wants done about each kind of drift; `None` for what the native tool makes of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OnDrift {
    /// A file is not what was applied.
    pub edited: Option<Policy>,
    /// A recorded migration has no file although newer ones do.
    pub missing: Option<Policy>,
    /// The database knows migrations newer than every file.
    pub ahead: Option<Policy>,
    /// A file is older than what is applied, and is not applied.
    pub out_of_order: Option<Policy>,
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
    /// Drizzle before 1.0: `0000_name.sql` named by `meta/_journal.json`, `__drizzle_migrations`.
    Drizzle,
    /// Drizzle from 1.0 on: a folder with `migration.sql` and `snapshot.json` for each migration,
    /// `__drizzle_migrations` with names.
    Drizzle1,
    /// A folder with `migration.sql` for each migration, `_prisma_migrations`.
    Prisma,
    /// `001_name.sql`, `premain_migrations`.
    Sql,
    /// `1_name.sql` or `1_name.up.sql`, `_sqlx_migrations`.
    Sqlx,
    /// `1_name.sql` with `-- migrate:up` in it, `schema_migrations` with many rows.
    Dbmate,
    /// `1_name.up.sql`, `schema_migrations` with one row.
    GolangMigrate,
    /// `1_name.sql` with `-- +goose Up` in it, `goose_db_version`.
    Goose,
    /// `V1_2__name.sql` and `R__name.sql`, `flyway_schema_history`.
    Flyway,
}

impl Format {
    /// Every format by the name that `--format` takes.
    pub const ALL: &[(&str, Format)] = &[
        ("refinery", Format::Refinery),
        ("drizzle", Format::Drizzle),
        ("drizzle1", Format::Drizzle1),
        ("prisma", Format::Prisma),
        ("sql", Format::Sql),
        ("sqlx", Format::Sqlx),
        ("dbmate", Format::Dbmate),
        ("golang-migrate", Format::GolangMigrate),
        ("goose", Format::Goose),
        ("flyway", Format::Flyway),
    ];
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Format::ALL.iter().find(|(_, format)| format == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
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
#[derive(Clone)]
pub struct Launch {
    /// As whom, if not as premain itself.
    pub user: Option<User>,
    /// Its environment, without what is premain's alone.
    pub environment: Vec<(OsString, OsString)>,
}

impl fmt::Debug for Launch {
    /// Without the environment's values, which hold every secret of the application.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        f.debug_struct("Launch").field("user", &self.user).field("environment", &names).finish()
    }
}

/// `premain status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// JSON instead of a table.
    pub json: bool,
    /// Let the exit status tell.
    pub exit_code: bool,
}

/// `premain health`.
#[derive(Debug, Clone)]
pub struct Health {
    /// What to ask instead of the database.
    pub targets: Vec<Target>,
    /// How long everything together may take.
    pub timeout: Duration,
    /// An application that has not started yet is no reason to complain.
    pub boot_ok: bool,
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
    /// The command line has no meaning. With how to log, as the environment has it.
    Usage(cli::UsageError, Log),
    /// Some values cannot work; never empty. With how to log, as far as that can work.
    Values(Vec<Problem>, Log),
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

    /// How they are to be told.
    pub fn log(&self) -> Log {
        match self {
            Problems::Usage(_, log) | Problems::Values(_, log) => *log,
        }
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    /// One sentence a problem, one problem a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problems::Usage(error, _) => error.fmt(f),
            Problems::Values(list, _) => {
                let lines: Vec<_> = list
                    .iter()
                    .map(|problem| format!("{} {}", problem.name, problem.what))
                    .collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

impl LedgerName {
    /// `table`, `schema.table`, `"My schema"."my table"`: as in SQL, what is not quoted is lower case.
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
                other => parts.last_mut().ok_or_else(allowed)?.push(match quoted {
                    true => other,
                    false => other.to_ascii_lowercase(),
                }),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_ledger_is_named_as_in_sql() {
        for (text, schema, table) in [
            ("history", None, "history"),
            ("app.History", Some("app"), "history"),
            ("\"my app\".\"a.b\"", Some("my app"), "a.b"),
            ("\"say \"\"hi\"\"\"", None, "say \"hi\""),
        ] {
            let expected =
                LedgerName { schema: schema.map(str::to_owned), table: table.to_owned() };
            assert_eq!(LedgerName::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_ledger_is_told_its_form() {
        for wrong in ["", ".", "a.", ".a", "a.b.c", "\"a", "a\0b", "\"\""] {
            assert!(LedgerName::parse(wrong).unwrap_err().contains("[SCHEMA.]TABLE"), "{wrong:?}");
        }
    }

    #[test]
    fn one_wrong_option_makes_it_wrong_usage() {
        let problem = |name: &str| Problem { name: name.to_owned(), what: "is 'x'".to_owned() };
        let exit = |names: &[&str]| {
            Problems::Values(names.iter().map(|name| problem(name)).collect(), Log::default())
                .exit()
        };
        assert_eq!(exit(&["DATABASE_URL"]), Exit::Config);
        assert_eq!(exit(&["DATABASE_URL", "--grace"]), Exit::Usage);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_ledger_panic(text in ".*") {
            let _ = LedgerName::parse(&text);
        }

        #[test]
        fn a_quoted_ledger_comes_back(schema in "[^\0]+", table in "[^\0]+") {
            let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let text = format!("{}.{}", quote(&schema), quote(&table));
            prop_assert_eq!(LedgerName::parse(&text), Ok(LedgerName { schema: Some(schema), table }));
        }
    }
}
