//! Which variables name the database: a connection string, or the first family of variables.

use super::candidates;
use super::database_variables::{
    DB, FALLBACKS, PG, PG_HOST, PG_SSL, POSTGRES, Table, UNREAD, URLS,
};
use super::env::Environment;
use crate::database::connection_string::settings::Settings;
use crate::database::connection_string::url;
use crate::database::{Database, Host};
use crate::launch::user;
use crate::value::Problem;
use crate::wait::Target;

/// What the environment says about servers.
#[derive(Debug, Default)]
pub struct Found {
    /// The database to wait for and to migrate.
    pub database: Option<Database>,
    /// One more server to wait for: `DB_HOST` beside a URL, or alone.
    pub server: Option<Target>,
    /// Whether a URL of another kind of database is configured.
    pub is_foreign: bool,
    /// Where no database is configured: the variables that look as if they named one.
    pub candidates: Vec<String>,
}

/// What the environment names.
enum Named {
    /// A database.
    Database(Settings),
    /// A connection string that cannot be parsed.
    Unreadable,
    /// Databases of other kinds only.
    Foreign,
    /// No database.
    Nothing,
}

/// Finds the database, and the server besides it, that `environment` names. What is wrong with
/// that, and with the variables themselves, is added to `problems`.
pub fn find(
    environment: &mut Environment,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> Found {
    environment.take_problems(problems);
    let search = Search { environment };
    let named = match search.url(problems, warnings) {
        named @ (Named::Database(_) | Named::Unreadable) => named,
        none => match search.family(problems) {
            Named::Nothing => none,
            named => named,
        },
    };
    let (database, is_db_host) = match &named {
        Named::Database(settings) => {
            (settings.database(problems, warnings), settings.origin() == "DB_HOST")
        }
        Named::Unreadable | Named::Foreign | Named::Nothing => (None, false),
    };
    search.service(&named, problems, warnings);
    let server = (!is_db_host).then(|| search.server(problems)).flatten();
    search.warn_of_unread(database.as_ref(), warnings);
    let is_foreign = matches!(named, Named::Foreign);
    let candidates = match named {
        Named::Nothing => search.candidates(),
        Named::Database(_) | Named::Unreadable | Named::Foreign => Vec::new(),
    };
    let known = database.iter().flat_map(|database: &Database| &database.hosts);
    let server = server.filter(|server| !known.clone().any(|known| search.means(server, known)));
    Found { server: server.map(answering), database, is_foreign, candidates }
}

/// `DB_HOST` names a server, which is waited for without a login.
fn answering(host: Host) -> Target {
    match host {
        Host::Tcp { host, port, .. } => Target::PostgresServer { host, port },
        socket @ Host::Unix { .. } => Target::Unix(socket.to_string().into()),
    }
}

/// Looks for databases in an environment.
struct Search<'a> {
    environment: &'a Environment,
}

impl Search<'_> {
    fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name)
    }

    /// The first connection string that is PostgreSQL's.
    fn url(&self, problems: &mut Vec<Problem>, warnings: &mut Vec<String>) -> Named {
        let mut named = Named::Nothing;
        for name in URLS {
            let Some(text) = self.variable(name) else { continue };
            let origin = self.environment.called(name);
            if let Some(scheme) = url::foreign(text) {
                warnings.push(format!(
                    "{origin} is ignored: it is a {scheme} URL, not one of PostgreSQL"
                ));
                named = Named::Foreign;
                continue;
            }
            return match url::parse(text) {
                Ok(parts) => {
                    warnings.extend(parts.doubts.iter().map(|doubt| format!("{origin} {doubt}")));
                    Named::Database(self.completed(Settings::of_url(&origin, parts)))
                }
                Err(fault) => {
                    let what = match text.contains("://") {
                        true => format!("{fault} ({})", url::redact(text)),
                        // Nobody knows which part of it is the password.
                        false => fault,
                    };
                    problems.push(Problem { name: origin, what });
                    Named::Unreadable
                }
            };
        }
        named
    }

    /// The first family of which the host is set.
    fn family(&self, problems: &mut Vec<Problem>) -> Named {
        let has = |name: &&str| self.variable(name).is_some();
        if has(&"POSTGRES_HOST") {
            let mut settings = self.filled(Settings::new("POSTGRES_HOST"), POSTGRES);
            if !has(&"PGUSER") {
                // The default of the official image.
                settings.fill("user", "postgres", "POSTGRES_USER");
            }
            return Named::Database(self.checked("POSTGRES_", POSTGRES, settings, problems));
        }
        if has(&"DB_HOST") && (has(&"DB_USER") || has(&"DB_NAME")) {
            let settings = self.filled(Settings::new("DB_HOST"), DB);
            return Named::Database(self.checked("DB_", DB, settings, problems));
        }
        if let Some(name) = ["PGHOST", "PGHOSTADDR", "PGDATABASE"].into_iter().find(has) {
            return Named::Database(self.checked("PG", PG, Settings::new(name), problems));
        }
        Named::Nothing
    }

    /// Adds what is missing. If that is something which a variable with almost the right name gives
    /// differently, the database is probably another one than the user means.
    fn checked(
        &self,
        prefix: &str,
        table: &Table,
        settings: Settings,
        problems: &mut Vec<Problem>,
    ) -> Settings {
        let settings = self.completed(settings);
        let mut found = Vec::new();
        for (key, name) in table {
            if self.variable(name).is_none() {
                let near = candidates::near_misses(self.environment.others(), prefix, key);
                let near = near.iter().filter(|(_, value)| settings.text(key) != Some(*value));
                found.extend(near.map(|(near, _)| (*near, *name)));
            }
        }
        if !found.is_empty() {
            let list: Vec<_> =
                found.iter().map(|(near, name)| format!("{near} (for {name})")).collect();
            let what = format!(
                "names the database, and these variables, which premain does not read, seem to \
                 belong to it: {}; rename or remove them, or set MIGRATION_DATABASE_URL",
                list.join(", ")
            );
            problems.push(Problem { name: settings.origin().to_owned(), what });
        }
        settings
    }

    /// The variables that look as if they named a database.
    fn candidates(&self) -> Vec<String> {
        // `DB_HOST` alone is waited for.
        let tables = POSTGRES.iter().chain(DB).chain(FALLBACKS).filter(|(key, _)| *key != "host");
        let own =
            tables.filter(|(_, name)| self.variable(name).is_some() && candidates::is_login(name));
        let others = candidates::of_databases(self.environment.others());
        let mut names: Vec<_> = own
            .map(|(_, name)| (*name).to_owned())
            .chain(others.into_iter().map(str::to_owned))
            .collect();
        names.sort_unstable();
        names
    }

    /// A service has what a database is named by, in a file that is not read.
    fn service(&self, named: &Named, problems: &mut Vec<Problem>, warnings: &mut Vec<String>) {
        if self.variable("PGSERVICE").is_none() {
            return;
        }
        let what = "premain reads no service file; write what it holds into MIGRATION_DATABASE_URL";
        let is_complete = match named {
            Named::Database(settings) => settings.origin().starts_with("MIGRATION_DATABASE_URL"),
            Named::Foreign => true,
            Named::Unreadable | Named::Nothing => false,
        };
        match is_complete {
            true => warnings.push("PGSERVICE is ignored: premain reads no service file".to_owned()),
            false => {
                let what = format!("names a service, but {what}");
                problems.push(Problem { name: "PGSERVICE".to_owned(), what });
            }
        }
    }

    /// Adds what is missing: from libpq's variables, and the user from the operating system.
    fn completed(&self, mut settings: Settings) -> Settings {
        if !settings.has("host") && !settings.has("hostaddr") {
            settings = self.filled(settings, PG_HOST);
        }
        // `ssl` is another name of `sslmode`.
        if !settings.has("ssl") {
            settings = self.filled(settings, PG_SSL);
            if self.variable("PGREQUIRESSL").is_some_and(|value| value.starts_with('1')) {
                settings.fill("sslmode", "require", "PGREQUIRESSL");
            }
        }
        settings = self.filled(settings, FALLBACKS);
        if !settings.has("user") {
            settings.fill("user", &user::own_name().unwrap_or_default(), "USER");
        }
        settings
    }

    fn filled(&self, mut settings: Settings, table: &Table) -> Settings {
        for (key, name) in table {
            if let Some(value) = self.variable(name) {
                let value = if *key == "port" { service_port(value) } else { value };
                settings.fill(key, value, &self.environment.called(name));
            }
        }
        settings
    }

    /// Warns of variables of libpq that are not read.
    fn warn_of_unread(&self, database: Option<&Database>, warnings: &mut Vec<String>) {
        if database.is_some() {
            let unread = UNREAD.iter().filter(|(name, _)| self.variable(name).is_some());
            warnings.extend(unread.map(|(name, remedy)| format!("{name} is ignored: {remedy}")));
        }
        let needed = database.is_some_and(|database| database.password.is_none());
        if needed && self.variable("PGPASSFILE").is_some() {
            let remedy = "premain reads no password file; PGPASSWORD_FILE names a file that \
                          holds the password alone";
            warnings.push(format!("PGPASSFILE is ignored: {remedy}"));
        }
    }

    /// The server that `DB_HOST` names.
    fn server(&self, problems: &mut Vec<Problem>) -> Option<Host> {
        self.variable("DB_HOST")?;
        let settings = self.filled(Settings::new("DB_HOST"), &DB[..2]);
        settings.hosts(problems).into_iter().next()
    }

    /// Whether `DB_HOST` is this server. Without `DB_PORT`, the port does not matter: a host rarely
    /// has a second PostgreSQL.
    fn means(&self, db_host: &Host, known: &Host) -> bool {
        let name = |host: &Host| match host {
            Host::Tcp { host, .. } => host.clone(),
            Host::Unix { directory, .. } => directory.display().to_string(),
        };
        match self.variable("DB_PORT") {
            Some(_) => db_host == known,
            None => name(db_host) == name(known),
        }
    }
}

/// The port of `DB_PORT=tcp://10.0.0.7:5432`, which Kubernetes sets for a service called `db`.
fn service_port(value: &str) -> &str {
    let address = value.strip_prefix("tcp://").and_then(|address| address.rsplit_once(':'));
    address.map_or(value, |(_, port)| port)
}

#[cfg(test)]
mod tests;
