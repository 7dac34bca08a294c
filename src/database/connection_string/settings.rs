//! Makes a [`Database`] of the parameters of a connection string, a family of variables and libpq's
//! fallbacks: what each means, and whether all of them together can work.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::parameters::{self, Meaning};
use super::url::Parts;
use crate::database::secret::Secret;
use crate::database::settings::{DEFAULT_PORT, Database, Host, SessionTarget, SslMode};
use crate::value::{Problem, choice};

const SESSION_TARGETS: [(&str, SessionTarget); 6] = [
    ("any", SessionTarget::Any),
    ("read-write", SessionTarget::ReadWrite),
    ("read-only", SessionTarget::ReadOnly),
    ("primary", SessionTarget::Primary),
    ("standby", SessionTarget::Standby),
    ("prefer-standby", SessionTarget::PreferStandby),
];

/// Values that promise something premain does not do, and why it does not.
const IMPOSSIBLE: [(&str, &[&str], &str); 3] = [
    ("gssencmode", &["require"], "but premain encrypts with TLS only"),
    ("sslcertmode", &["require"], "but premain cannot tell whether the server asks for one"),
    ("min_protocol_version", &["3.2", "latest"], "but premain speaks version 3.0 of the protocol"),
];

/// All parameters of one database, not checked yet.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The variable that names it, for messages.
    origin: String,
    entries: BTreeMap<String, Setting>,
}

struct Setting {
    value: String,
    /// Its own variable; `None` if it is part of [`Settings::origin`].
    variable: Option<String>,
}

impl std::fmt::Debug for Setting {
    /// Without the value, which may be a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setting").field("variable", &self.variable).finish_non_exhaustive()
    }
}

impl Settings {
    /// No parameters yet; `origin` is the variable that names the database.
    pub(crate) fn new(origin: &str) -> Settings {
        Settings { origin: origin.to_owned(), entries: BTreeMap::new() }
    }

    /// The parts of the connection string in the variable `origin`.
    pub(crate) fn of_url(origin: &str, parts: Parts) -> Settings {
        let mut settings = Settings::new(origin);
        for (key, value) in parts.parameters {
            if !value.is_empty() {
                settings.entries.insert(key, Setting { value, variable: None });
            }
        }
        settings
    }

    /// The variable that names the database.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether the parameter is set.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The value of the parameter, if it is set.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(|setting| setting.value.as_str())
    }

    /// Sets the parameter, which is from `variable`, unless it is set already.
    pub(crate) fn fill(&mut self, key: &str, value: &str, variable: &str) {
        if !value.is_empty() && !self.has(key) {
            let setting = Setting { value: value.to_owned(), variable: Some(variable.to_owned()) };
            self.entries.insert(key.to_owned(), setting);
        }
    }

    /// The servers, without checking anything else.
    pub(crate) fn hosts(&self, problems: &mut Vec<Problem>) -> Vec<Host> {
        let mut checker = Checker { settings: self, problems, warnings: &mut Vec::new() };
        checker.hosts(SslMode::default())
    }

    /// The database; `None` if the parameters cannot work, with the reasons in `problems`.
    pub(crate) fn database(
        &self,
        problems: &mut Vec<Problem>,
        warnings: &mut Vec<String>,
    ) -> Option<Database> {
        let before = problems.len();
        let mut checker = Checker { settings: self, problems, warnings };
        checker.unused();
        let mode = checker.ssl_mode();
        let hosts = checker.hosts(mode);
        let user = checker.user();
        let database = Database {
            tls: checker.tls(mode, &hosts),
            require_auth: checker.require_auth(),
            require_peer: checker.require_peer(&hosts),
            hosts,
            password: checker.text("password").map(Secret::new),
            name: checker.text("dbname").unwrap_or(user).to_owned(),
            user: user.to_owned(),
            options: checker.options(),
            application_name: ["application_name", "fallback_application_name"]
                .into_iter()
                .find_map(|key| checker.text(key))
                .map(str::to_owned),
            session: checker.choice("target_session_attrs", &SESSION_TARGETS).unwrap_or_default(),
            schema: checker.text("schema").or(checker.text("currentSchema")).map(str::to_owned),
            connect_timeout: checker.connect_timeout(),
            origin: self.origin.clone(),
        };
        (problems.len() == before).then_some(database)
    }
}

/// Checks the parameters one by one, and collects what is wrong with each.
pub(crate) struct Checker<'a> {
    pub(super) settings: &'a Settings,
    problems: &'a mut Vec<Problem>,
    warnings: &'a mut Vec<String>,
}

impl<'a> Checker<'a> {
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.settings.text(key)
    }

    /// Adds the problem that the value of `key` is not what is allowed.
    pub(super) fn complain(&mut self, key: &str, allowed: &str) {
        let value = self.text(key).unwrap_or_default();
        self.reject(key, value, &format!("not {allowed}"));
    }

    /// Adds the problem `DATABASE_URL says sslmode=on, not …`, or `PGSSLMODE is 'on', not …`.
    pub(super) fn reject(&mut self, key: &str, found: &str, what: &str) {
        match self.settings.entries.get(key).and_then(|setting| setting.variable.clone()) {
            None => self.add_problem(&format!("says {key}={found}, {what}")),
            Some(name) => {
                self.problems.push(Problem { name, what: format!("is '{found}', {what}") });
            }
        }
    }

    /// Adds a problem of the database as a whole; `what` is a predicate, the variable its subject.
    pub(super) fn add_problem(&mut self, what: &str) {
        let name = self.settings.origin.clone();
        self.problems.push(Problem { name, what: what.to_owned() });
    }

    fn warn(&mut self, what: &str) {
        self.warnings.push(format!("{} {what}", self.settings.origin));
    }

    /// The name of the parameter in messages: `PGSSLKEY`, or `sslkey in DATABASE_URL`.
    pub(super) fn called(&self, key: &str) -> String {
        match self.settings.entries.get(key).and_then(|setting| setting.variable.as_ref()) {
            Some(name) => name.clone(),
            None => format!("{key} in {}", self.settings.origin),
        }
    }

    pub(super) fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        match choice(self.text(key)?, choices) {
            Ok(choice) => Some(choice),
            Err(allowed) => {
                self.complain(key, &allowed);
                None
            }
        }
    }

    /// Warns of parameters that have no effect.
    fn unused(&mut self) {
        let settings = self.settings;
        for key in settings.entries.keys() {
            match parameters::meaning(key) {
                Meaning::Understood | Meaning::Harmless => {}
                Meaning::Unsupported => {
                    self.warn(&format!("asks for {key}, which premain does not support"));
                }
                Meaning::Unknown => {
                    self.warn(&format!("has a parameter '{key}', which premain does not know"));
                }
            }
        }
        if self.text("service").is_some() {
            self.add_problem(
                "names a service, but premain reads no service file; write host, user etc. instead",
            );
        }
        for (key, promised, why) in IMPOSSIBLE {
            if let Some(value) = self.text(key).filter(|value| promised.contains(value)) {
                self.reject(key, value, why);
            }
        }
    }

    fn user(&mut self) -> &'a str {
        self.text("user").unwrap_or_else(|| {
            self.add_problem("names no user; write postgres://USER:PASSWORD@HOST/DATABASE");
            ""
        })
    }

    /// Servers and ports, paired as libpq pairs them.
    fn hosts(&mut self, mode: SslMode) -> Vec<Host> {
        let ports = self.ports();
        let names = self.names(mode);
        if ports.len() > 1 && ports.len() != names.len() {
            self.add_problem(&format!("has {} hosts and {} ports", names.len(), ports.len()));
        }
        let first = ports.first().copied().unwrap_or(DEFAULT_PORT);
        let port = |index: usize| ports.get(index).copied().unwrap_or(first);
        let host = |(index, (name, address)): (usize, (&'a str, Option<IpAddr>))| match address {
            None => Host::new(name, port(index)),
            address => Host::Tcp { host: name.to_owned(), address, port: port(index) },
        };
        names.into_iter().enumerate().map(host).collect()
    }

    fn ports(&mut self) -> Vec<u16> {
        let Some(text) = self.text("port") else { return Vec::new() };
        let port = |text: &str| match text.trim() {
            "" => Some(DEFAULT_PORT),
            number => number.parse().ok().filter(|port| *port != 0),
        };
        if let Some(ports) = text.split(',').map(port).collect() {
            return ports;
        }
        let allowed = "a port from 1 to 65535";
        let numeric = text.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | '-'));
        if numeric || self.settings.entries.get("port").is_some_and(|s| s.variable.is_some()) {
            self.complain("port", allowed);
        } else {
            // It may be a password whose host was forgotten, so it is not shown.
            self.add_problem(&format!(
                "has a ':' that is not followed by {allowed}; if a password follows it, add '@HOST' \
                 after the password, and percent-encode every '/', '?' and '#' in it"
            ));
        }
        Vec::new()
    }

    /// The name of each server, and the address to connect to if it is given.
    fn names(&mut self, mode: SslMode) -> Vec<(&'a str, Option<IpAddr>)> {
        let list = |key| -> Vec<&'a str> {
            self.text(key).map(|list| list.split(',').collect()).unwrap_or_default()
        };
        let (names, addresses) = (list("host"), list("hostaddr"));
        if !addresses.iter().all(|text| text.is_empty() || text.parse::<IpAddr>().is_ok()) {
            self.complain("hostaddr", "an IP address");
        }
        if !names.is_empty() && !addresses.is_empty() && names.len() != addresses.len() {
            self.add_problem(&format!(
                "has {} hosts and {} hostaddrs",
                names.len(),
                addresses.len()
            ));
        }
        if !names.iter().all(|name| is_host(name.trim())) {
            self.complain("host", "a host's name or address without a port");
        }
        if mode == SslMode::VerifyFull && names.is_empty() && !addresses.is_empty() {
            self.add_problem(
                "says sslmode=verify-full, but has only a hostaddr and no host to verify",
            );
        }
        let count = names.len().max(addresses.len()).max(1);
        let at = |list: &[&'a str], index: usize| {
            list.get(index).map(|text| text.trim()).filter(|text| !text.is_empty())
        };
        (0..count)
            .map(|index| match (at(&names, index), at(&addresses, index)) {
                (Some(name), Some(address)) => (name, address.parse().ok()),
                (Some(name), None) => (name, None),
                (None, address) => (address.unwrap_or("localhost"), None),
            })
            .collect()
    }

    /// `options`, and the search path, which Go's drivers take as a parameter of its own.
    fn options(&self) -> Option<String> {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace(' ', "\\ ");
        let search_path =
            self.text("search_path").map(|p| format!("-c search_path={}", escaped(p)));
        match (self.text("options"), search_path) {
            (Some(options), Some(path)) => Some(format!("{options} {path}")),
            (options, path) => path.or(options.map(str::to_owned)),
        }
    }

    fn connect_timeout(&mut self) -> Option<Duration> {
        let Ok(seconds) = self.text("connect_timeout")?.trim().parse::<i32>() else {
            self.complain("connect_timeout", "a whole number of seconds");
            return None;
        };
        // In libpq, zero and negative numbers mean no limit.
        u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
    }
}

/// A path, an IPv6 address, or something without blanks, colons and slashes.
fn is_host(text: &str) -> bool {
    text.starts_with('/')
        || text.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
        || !text.contains(|c: char| c.is_whitespace() || c.is_control() || ":/@?#[]".contains(c))
}

#[cfg(test)]
mod tests;
