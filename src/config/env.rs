//! The environment: which variables name the database, `_FILE`, what the application gets.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;

use serde::Deserialize;

use super::database::{Database, Host};
use super::option::PREFIX;
use super::settings::Settings;
use super::{Problem, Target, url};

/// The suffix of a variable that names the file its value stands in.
const FILE: &str = "_FILE";

/// For premain alone: the application never gets it.
const PRIVATE: &str = "MIGRATION_DATABASE_URL";

/// The variables that may hold a secret, and so may stand in a file.
const SECRETS: [&str; 13] = [
    "MIGRATION_DATABASE_URL",
    "DIRECT_URL",
    "DATABASE_URL",
    "POSTGRES_USER",
    "POSTGRES_PASSWORD",
    "POSTGRES_DB",
    "DB_USER",
    "DB_PASSWORD",
    "DB_NAME",
    "PGUSER",
    "PGPASSWORD",
    "PGDATABASE",
    "PREMAIN_WAIT_FOR",
];

/// `variables! { field "NAME" … }` makes [`Variables`] for envy and [`NAMES`].
macro_rules! variables {
    ($($field:ident $name:literal)*) => {
        /// The variables that say something about databases, as they stand.
        #[derive(Default, Deserialize)]
        struct Variables { $($field: Option<String>,)* }

        /// Their names.
        const NAMES: &[&str] = &[$($name),*];
    };
}

variables! {
    migration_database_url "MIGRATION_DATABASE_URL"
    direct_url "DIRECT_URL"
    database_url "DATABASE_URL"
    postgres_host "POSTGRES_HOST"
    postgres_port "POSTGRES_PORT"
    postgres_user "POSTGRES_USER"
    postgres_password "POSTGRES_PASSWORD"
    postgres_db "POSTGRES_DB"
    db_host "DB_HOST"
    db_port "DB_PORT"
    db_user "DB_USER"
    db_password "DB_PASSWORD"
    db_name "DB_NAME"
    pghost "PGHOST"
    pghostaddr "PGHOSTADDR"
    pgport "PGPORT"
    pguser "PGUSER"
    pgpassword "PGPASSWORD"
    pgdatabase "PGDATABASE"
    pgsslmode "PGSSLMODE"
    pgsslrootcert "PGSSLROOTCERT"
    pgsslcert "PGSSLCERT"
    pgsslkey "PGSSLKEY"
    pgsslnegotiation "PGSSLNEGOTIATION"
    pgchannelbinding "PGCHANNELBINDING"
    pgoptions "PGOPTIONS"
    pgappname "PGAPPNAME"
    pgconnect_timeout "PGCONNECT_TIMEOUT"
    pgtargetsessionattrs "PGTARGETSESSIONATTRS"
}

/// The process environment: as it was for the application, resolved and without empty variables
/// for premain.
pub struct Environment {
    /// Everything, in the order it came.
    variables: Vec<(OsString, OsString)>,
    /// What premain reads, `_FILE` variables under the plain name, never empty.
    known: BTreeMap<String, Value>,
    /// What was wrong with it so far.
    problems: Vec<Problem>,
}

/// The value of a variable that premain reads.
struct Value {
    text: String,
    /// The file it stood in.
    file: Option<String>,
}

/// What the environment says about servers.
#[derive(Debug, Default)]
pub struct Found {
    /// The database to wait for and to migrate.
    pub database: Option<Database>,
    /// One more server to wait for: `DB_HOST` beside a URL, or alone.
    pub server: Option<Target>,
}

impl Environment {
    /// Reads what premain knows, and the files that `_FILE` variables name.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Environment {
            variables: variables.into_iter().collect(),
            known: BTreeMap::new(),
            problems: Vec::new(),
        };
        for (name, value) in &environment.variables {
            let Some(name) = name.to_str().filter(|name| is_known(name)) else {
                continue;
            };
            // Of two variables of one name every C library sees the first.
            if value.is_empty() || environment.known.contains_key(name) {
                continue;
            }
            match value.to_str() {
                Some(text) => {
                    let value = Value {
                        text: text.to_owned(),
                        file: None,
                    };
                    environment.known.insert(name.to_owned(), value);
                }
                None => environment.problems.push(problem(name, "is not UTF-8")),
            }
        }
        for name in SECRETS {
            environment.resolve(name);
        }
        environment
    }

    /// Puts the content of the file that `NAME_FILE` names under `NAME`.
    fn resolve(&mut self, name: &str) {
        let variable = format!("{name}{FILE}");
        let Some(Value { text: path, .. }) = self.known.remove(&variable) else {
            return;
        };
        if self.known.contains_key(name) {
            self.problems.push(problem(
                &variable,
                &format!("and {name} are both set: keep one"),
            ));
            return;
        }
        match read_secret(&path) {
            Ok(text) => {
                self.known.insert(
                    name.to_owned(),
                    Value {
                        text,
                        file: Some(path),
                    },
                );
            }
            Err(why) => self
                .problems
                .push(problem(&variable, &format!("is '{path}', {why}"))),
        }
    }

    /// Names and values of what begins with `prefix`, of variables that premain reads.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.known
            .iter()
            .filter(move |(name, _)| name.starts_with(prefix))
            .map(|(name, value)| (name.as_str(), value.text.as_str()))
    }

    /// Which database, and which server besides, the environment names. What is wrong with it, and
    /// with everything else that was read, is added to `problems`.
    pub fn databases(&mut self, problems: &mut Vec<Problem>, warnings: &mut Vec<String>) -> Found {
        problems.append(&mut self.problems);
        let known = self
            .known
            .iter()
            .filter(|(name, _)| NAMES.contains(&name.as_str()));
        let pairs = known.map(|(name, value)| (name.clone(), value.text.clone()));
        // Every field is an optional string: there is nothing for envy to refuse.
        let variables: Variables = envy::from_iter(pairs).unwrap_or_default();

        let url = self.url(&variables, problems, warnings);
        let named = match url {
            Named::Nothing => self.family(&variables, warnings),
            other => other,
        };
        let database = match &named {
            Named::Database(settings) => settings.database(problems, warnings),
            _ => None,
        };
        let server = match &named {
            Named::Database(settings) if settings.origin() == "DB_HOST" => None,
            _ => server(&variables, problems),
        };
        let server = server.filter(|server| match server {
            Target::PostgresServer { host, port } => {
                let same = Host::Tcp {
                    host: host.clone(),
                    port: *port,
                };
                !database
                    .as_ref()
                    .is_some_and(|database| database.hosts.contains(&same))
            }
            _ => true,
        });
        Found { database, server }
    }

    /// The first connection string, in the order of preference.
    fn url(
        &self,
        variables: &Variables,
        problems: &mut Vec<Problem>,
        warnings: &mut Vec<String>,
    ) -> Named {
        for (name, text) in [
            ("MIGRATION_DATABASE_URL", &variables.migration_database_url),
            ("DIRECT_URL", &variables.direct_url),
            ("DATABASE_URL", &variables.database_url),
        ] {
            let Some(text) = text else { continue };
            let origin = self.called(name);
            if let Some(scheme) = url::foreign(text) {
                warnings.push(format!(
                    "{origin} names no PostgreSQL database but {scheme}: ignored"
                ));
                continue;
            }
            return match url::parse(text) {
                Ok(parts) => {
                    warnings.extend(parts.doubts.iter().map(|doubt| format!("{origin} {doubt}")));
                    Named::Database(self.completed(Settings::of_url(&origin, parts), variables))
                }
                Err(fault) => {
                    problems.push(problem(
                        &origin,
                        &format!("{fault} ({})", url::redact(text)),
                    ));
                    Named::Unreadable
                }
            };
        }
        Named::Nothing
    }

    /// The first family of single variables.
    fn family(&self, variables: &Variables, warnings: &mut Vec<String>) -> Named {
        let v = variables;
        let mut settings;
        if v.postgres_host.is_some() {
            settings = Settings::new("POSTGRES_HOST");
            self.fill(
                &mut settings,
                [
                    ("host", "POSTGRES_HOST", &v.postgres_host),
                    (
                        "port",
                        "POSTGRES_PORT",
                        &service_port(v.postgres_port.as_deref()),
                    ),
                    ("user", "POSTGRES_USER", &v.postgres_user),
                    ("password", "POSTGRES_PASSWORD", &v.postgres_password),
                    ("dbname", "POSTGRES_DB", &v.postgres_db),
                ],
            );
            if v.pguser.is_none() {
                // What the official image calls its role unless it is told otherwise.
                settings.fill("user", "postgres", "POSTGRES_USER");
            }
        } else if v.db_host.is_some() && (v.db_user.is_some() || v.db_name.is_some()) {
            settings = Settings::new("DB_HOST");
            self.fill(
                &mut settings,
                [
                    ("host", "DB_HOST", &v.db_host),
                    ("port", "DB_PORT", &service_port(v.db_port.as_deref())),
                    ("user", "DB_USER", &v.db_user),
                    ("password", "DB_PASSWORD", &v.db_password),
                    ("dbname", "DB_NAME", &v.db_name),
                ],
            );
        } else if let Some((name, _)) = [
            ("PGHOST", &v.pghost),
            ("PGHOSTADDR", &v.pghostaddr),
            ("PGDATABASE", &v.pgdatabase),
        ]
        .into_iter()
        .find(|(_, value)| value.is_some())
        {
            settings = Settings::new(name);
        } else {
            if v.db_host.is_none() {
                warnings.extend(hostless(v));
            }
            return Named::Nothing;
        }
        Named::Database(self.completed(settings, variables))
    }

    /// What is not said yet, from libpq's variables, and the user from the operating system.
    fn completed(&self, mut settings: Settings, v: &Variables) -> Settings {
        if !settings.says("host") && !settings.says("hostaddr") {
            self.fill(
                &mut settings,
                [
                    ("host", "PGHOST", &v.pghost),
                    ("hostaddr", "PGHOSTADDR", &v.pghostaddr),
                ],
            );
        }
        // `ssl` is another word for it.
        if !settings.says("ssl") {
            self.fill(&mut settings, [("sslmode", "PGSSLMODE", &v.pgsslmode)]);
        }
        self.fill(
            &mut settings,
            [
                ("port", "PGPORT", &v.pgport),
                ("user", "PGUSER", &v.pguser),
                ("password", "PGPASSWORD", &v.pgpassword),
                ("dbname", "PGDATABASE", &v.pgdatabase),
                ("sslrootcert", "PGSSLROOTCERT", &v.pgsslrootcert),
                ("sslcert", "PGSSLCERT", &v.pgsslcert),
                ("sslkey", "PGSSLKEY", &v.pgsslkey),
                ("sslnegotiation", "PGSSLNEGOTIATION", &v.pgsslnegotiation),
                ("channel_binding", "PGCHANNELBINDING", &v.pgchannelbinding),
                ("options", "PGOPTIONS", &v.pgoptions),
                ("application_name", "PGAPPNAME", &v.pgappname),
                ("connect_timeout", "PGCONNECT_TIMEOUT", &v.pgconnect_timeout),
                (
                    "target_session_attrs",
                    "PGTARGETSESSIONATTRS",
                    &v.pgtargetsessionattrs,
                ),
            ],
        );
        if let Some(account) = account().filter(|_| !settings.says("user")) {
            settings.fill("user", &account, "the account that premain runs as");
        }
        settings
    }

    fn fill<const N: usize>(
        &self,
        settings: &mut Settings,
        values: [(&str, &str, &Option<String>); N],
    ) {
        for (key, name, value) in values {
            if let Some(value) = value {
                settings.fill(key, value, &self.called(name));
            }
        }
    }

    /// How messages call a variable: `DATABASE_URL`, or `DATABASE_URL_FILE=/run/secrets/url`.
    fn called(&self, name: &str) -> String {
        match self.known.get(name).and_then(|value| value.file.as_deref()) {
            Some(path) => format!("{name}{FILE}={path}"),
            None => name.to_owned(),
        }
    }

    /// The application's environment, in the order it came: `_FILE` variables resolved, without
    /// `MIGRATION_DATABASE_URL` and what is `dropped`.
    pub fn for_application(self, dropped: &[String]) -> Vec<(OsString, OsString)> {
        let known = &self.known;
        let from_file = |name: &str| known.get(name).filter(|value| value.file.is_some());
        let is_dropped = |name: &OsStr| {
            name == PRIVATE || dropped.iter().any(|dropped| name == OsStr::new(dropped))
        };
        let mut resolved = Vec::new();
        self.variables
            .iter()
            .filter_map(|(name, value)| {
                let plain = name.to_str().and_then(plain_name);
                if is_dropped(name) || plain.is_some_and(|plain| is_dropped(plain.as_ref())) {
                    return None;
                }
                if let Some(plain) = plain {
                    // Only the first of two variables of one name was read.
                    let value = from_file(plain).filter(|_| !resolved.contains(&plain))?;
                    resolved.push(plain);
                    return Some((plain.into(), value.text.clone().into()));
                }
                // The empty variable that its file has a value for.
                let replaced = name.to_str().is_some_and(|name| from_file(name).is_some());
                (!replaced).then(|| (name.clone(), value.clone()))
            })
            .collect()
    }
}

/// What the environment names.
enum Named {
    /// A database.
    Database(Settings),
    /// One that cannot be made out.
    Unreadable,
    /// None.
    Nothing,
}

/// Whether premain reads the variable of this name.
fn is_known(name: &str) -> bool {
    name.starts_with(PREFIX) || NAMES.contains(&name) || plain_name(name).is_some()
}

/// `DATABASE_URL` of `DATABASE_URL_FILE`, if that is a variable of ours.
fn plain_name(name: &str) -> Option<&'static str> {
    let plain = name.strip_suffix(FILE)?;
    SECRETS.into_iter().find(|secret| *secret == plain)
}

fn problem(name: &str, what: &str) -> Problem {
    Problem {
        name: name.to_owned(),
        what: what.to_owned(),
    }
}

/// A file's content without the line ends at its end.
fn read_secret(path: &str) -> Result<String, String> {
    let bytes = fs::read(path).map_err(|error| format!("which cannot be read: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| "which is not UTF-8".to_owned())?;
    let text = text.trim_end_matches(['\n', '\r']);
    match text {
        "" => Err("which is empty".to_owned()),
        text if text.contains('\0') => Err("which holds a null byte".to_owned()),
        text => Ok(text.to_owned()),
    }
}

/// Kubernetes sets `DB_PORT=tcp://10.0.0.7:5432` for a service called `db`: its port is meant.
fn service_port(value: Option<&str>) -> Option<String> {
    let value = value?;
    let port = value
        .strip_prefix("tcp://")
        .and_then(|address| address.rsplit(':').next());
    Some(port.unwrap_or(value).to_owned())
}

/// `DB_HOST` as a server to wait for, whoever may log in.
fn server(variables: &Variables, problems: &mut Vec<Problem>) -> Option<Target> {
    let mut settings = Settings::new("DB_HOST");
    settings.fill("host", variables.db_host.as_deref()?, "DB_HOST");
    if let Some(port) = service_port(variables.db_port.as_deref()) {
        settings.fill("port", &port, "DB_PORT");
    }
    settings
        .hosts(problems)
        .into_iter()
        .next()
        .map(|host| match host {
            Host::Tcp { host, port } => Target::PostgresServer { host, port },
            socket @ Host::Unix { .. } => Target::Unix(socket.to_string().into()),
        })
}

/// A database is half named: probably the server's own variables in a shared env file.
fn hostless(v: &Variables) -> Option<String> {
    let (name, host) = [
        ("POSTGRES_DB", "POSTGRES_HOST", &v.postgres_db),
        ("POSTGRES_USER", "POSTGRES_HOST", &v.postgres_user),
        ("POSTGRES_PASSWORD", "POSTGRES_HOST", &v.postgres_password),
        ("DB_NAME", "DB_HOST", &v.db_name),
        ("DB_USER", "DB_HOST", &v.db_user),
    ]
    .into_iter()
    .find_map(|(name, host, value)| value.as_ref().map(|_| (name, host)))?;
    Some(format!(
        "{name} is set, but no {host} (nor DATABASE_URL): there is no server to wait for"
    ))
}

/// Who runs premain, by `/etc/passwd`: libpq's last resort for a user.
fn account() -> Option<String> {
    let uid = nix::unistd::geteuid().to_string();
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}
