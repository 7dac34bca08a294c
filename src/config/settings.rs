//! From the parts of a connection string, a family of variables and libpq's fallbacks to one
//! [`Database`]: what each part means, and whether all of it together can work.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::database::{
    ChannelBinding, DEFAULT_PORT, Database, Host, RootCertificates, SessionTarget, SslMode, Tls,
};
use super::url::Parts;
use super::{Problem, Secret, value};

/// Parameters that are understood here.
const KNOWN: &[&str] = &[
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "sslmode",
    "ssl",
    "sslaccept",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslidentity",
    "sslpassword",
    "sslnegotiation",
    "channel_binding",
    "options",
    "application_name",
    "fallback_application_name",
    "target_session_attrs",
    "connect_timeout",
    "schema",
    "currentSchema",
    "search_path",
    "gssencmode",
    "service",
];

/// Parameters that change nothing for premain, whose sessions are single, short and in UTF-8:
/// libpq's, then those of pools and drivers, by the letters they may begin with, then by name.
const HARMLESS: &[&str] = &[
    // libpq
    "client_encoding",
    "gssdelegation",
    "gsslib",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "sslcertmode",
    "sslcompression",
    "sslsni",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "tcp_user_timeout",
    // Prisma
    "connection_limit",
    "max_connection_lifetime",
    "max_idle_connection_lifetime",
    "pgbouncer",
    "pool_timeout",
    "socket_timeout",
    "statement_cache_size",
    "single_use_connections",
    // node-postgres and postgres.js
    "allowExitOnIdle",
    "backoff",
    "connectionTimeoutMillis",
    "encoding",
    "fetch_types",
    "idle_in_transaction_session_timeout",
    "idle_timeout",
    "idleTimeoutMillis",
    "keepAlive",
    "keepAliveInitialDelayMillis",
    "lock_timeout",
    "max",
    "max_lifetime",
    "maxUses",
    "min",
    "prepare",
    "query_timeout",
    "statement_timeout",
    "uselibpqcompat",
    // Vercel and Supabase
    "supa",
    "workaround",
    // Go: pgx, lib/pq
    "binary_parameters",
    "default_query_exec_mode",
    "description_cache_capacity",
    "disable_prepared_binary_result",
    "pool_health_check_period",
    "pool_max_conn_idle_time",
    "pool_max_conn_lifetime",
    "pool_max_conn_lifetime_jitter",
    "pool_max_conns",
    "pool_min_conns",
    "pool_min_idle_conns",
    "statement_cache_capacity",
    "statement_cache_mode",
    // Python: SQLAlchemy, asyncpg, dj-database-url
    "async_fallback",
    "command_timeout",
    "conn_health_checks",
    "conn_max_age",
    "max_overflow",
    "max_size",
    "min_size",
    "pool_pre_ping",
    "pool_recycle",
    "pool_size",
    "prepared_statement_cache_size",
    "timeout",
    // Rails, Doctrine, JDBC
    "charset",
    "checkout_timeout",
    "loginTimeout",
    "pool",
    "prepareThreshold",
    "prepared_statements",
    "reaping_frequency",
    "reWriteBatchedInserts",
    "serverVersion",
    "socketTimeout",
    "stringtype",
    "tcpKeepAlive",
    "timezone",
    "variables",
];

/// `sslmode` in the words of libpq and node-postgres.
const SSL_MODES: [(&str, SslMode); 7] = [
    ("disable", SslMode::Disable),
    ("allow", SslMode::Prefer),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
    ("no-verify", SslMode::NoVerify),
];

const CHANNEL_BINDINGS: [(&str, ChannelBinding); 3] = [
    ("disable", ChannelBinding::Disable),
    ("prefer", ChannelBinding::Prefer),
    ("require", ChannelBinding::Require),
];

const SESSION_TARGETS: [(&str, SessionTarget); 6] = [
    ("any", SessionTarget::Any),
    ("read-write", SessionTarget::ReadWrite),
    ("read-only", SessionTarget::ReadOnly),
    ("primary", SessionTarget::Primary),
    ("standby", SessionTarget::Standby),
    ("prefer-standby", SessionTarget::PreferStandby),
];

/// Everything that was said about one database, unjudged.
#[derive(Debug)]
pub(super) struct Settings {
    /// The variable that named it, for messages.
    origin: String,
    entries: BTreeMap<String, Setting>,
}

struct Setting {
    value: String,
    /// The variable of its own that it stands in; none if it is a part of [`Settings::origin`].
    variable: Option<String>,
}

impl std::fmt::Debug for Setting {
    /// Without the value, which may be a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setting")
            .field("variable", &self.variable)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Nothing yet, found in the variable `origin`.
    pub fn new(origin: &str) -> Settings {
        Settings {
            origin: origin.to_owned(),
            entries: BTreeMap::new(),
        }
    }

    /// The parts of the connection string in the variable `origin`.
    pub fn of_url(origin: &str, parts: Parts) -> Settings {
        let mut settings = Settings::new(origin);
        for (key, value) in parts.parameters {
            if !value.is_empty() {
                settings.entries.insert(
                    key,
                    Setting {
                        value,
                        variable: None,
                    },
                );
            }
        }
        settings
    }

    /// The variable that named the database.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether this was said already.
    pub fn says(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Takes this from `variable`, unless it was said already.
    pub fn fill(&mut self, key: &str, value: &str, variable: &str) {
        if !value.is_empty() && !self.says(key) {
            let setting = Setting {
                value: value.to_owned(),
                variable: Some(variable.to_owned()),
            };
            self.entries.insert(key.to_owned(), setting);
        }
    }

    /// The servers alone.
    pub fn hosts(&self, problems: &mut Vec<Problem>) -> Vec<Host> {
        let mut judge = Judge {
            settings: self,
            problems,
            warnings: &mut Vec::new(),
        };
        judge.hosts(SslMode::default())
    }

    /// The database that all of this means; `None` if it cannot work, with the reasons in `problems`.
    pub fn database(
        &self,
        problems: &mut Vec<Problem>,
        warnings: &mut Vec<String>,
    ) -> Option<Database> {
        let before = problems.len();
        let mut judge = Judge {
            settings: self,
            problems,
            warnings,
        };
        judge.unused();
        let mode = judge.ssl_mode();
        let hosts = judge.hosts(mode);
        let user = judge.user();
        let database = Database {
            tls: judge.tls(mode, &hosts),
            hosts,
            password: judge.text("password").map(Secret::new),
            name: judge.text("dbname").unwrap_or(user).to_owned(),
            user: user.to_owned(),
            options: judge.options(),
            application_name: ["application_name", "fallback_application_name"]
                .into_iter()
                .find_map(|key| judge.text(key))
                .map(str::to_owned),
            session: judge
                .choice("target_session_attrs", &SESSION_TARGETS)
                .unwrap_or_default(),
            schema: judge
                .text("schema")
                .or(judge.text("currentSchema"))
                .map(str::to_owned),
            connect_timeout: judge.connect_timeout(),
            origin: self.origin.clone(),
        };
        (problems.len() == before).then_some(database)
    }
}

/// Judges settings one by one and keeps every complaint.
struct Judge<'a> {
    settings: &'a Settings,
    problems: &'a mut Vec<Problem>,
    warnings: &'a mut Vec<String>,
}

impl<'a> Judge<'a> {
    fn text(&self, key: &str) -> Option<&'a str> {
        self.settings
            .entries
            .get(key)
            .map(|setting| setting.value.as_str())
    }

    /// `DATABASE_URL says sslmode=on, not …`, or `PGSSLMODE is 'on', not …`.
    fn complain(&mut self, key: &str, allowed: &str) {
        let Some(setting) = self.settings.entries.get(key) else {
            return;
        };
        let value = &setting.value;
        match &setting.variable {
            None => self.object(&format!("says {key}={value}, not {allowed}")),
            Some(name) => self.problems.push(Problem {
                name: name.clone(),
                what: format!("is '{value}', not {allowed}"),
            }),
        }
    }

    /// A problem of the whole; `what` continues a sentence that begins with the variable.
    fn object(&mut self, what: &str) {
        let name = self.settings.origin.clone();
        self.problems.push(Problem {
            name,
            what: what.to_owned(),
        });
    }

    fn warn(&mut self, what: &str) {
        self.warnings
            .push(format!("{} {what}", self.settings.origin));
    }

    /// How messages call this setting: `PGSSLKEY`, or `sslkey in DATABASE_URL`.
    fn called(&self, key: &str) -> String {
        match self
            .settings
            .entries
            .get(key)
            .and_then(|setting| setting.variable.as_ref())
        {
            Some(name) => name.clone(),
            None => format!("{key} in {}", self.settings.origin),
        }
    }

    fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        match value::choice(self.text(key)?, choices) {
            Ok(choice) => Some(choice),
            Err(allowed) => {
                self.complain(key, &allowed);
                None
            }
        }
    }

    /// Says which parts mean nothing to premain.
    fn unused(&mut self) {
        let settings = self.settings;
        let keys = || settings.entries.keys().map(String::as_str);
        for key in keys().filter(|key| !KNOWN.contains(key) && !HARMLESS.contains(key)) {
            // golang-migrate's.
            if key.starts_with("x-") {
                continue;
            }
            match key {
                "passfile" | "require_auth" | "requirepeer" | "sslcrl" | "sslcrldir" => {
                    self.warn(&format!("asks for {key}, which premain does not support"));
                }
                _ => self.warn(&format!(
                    "has a parameter '{key}', which premain does not know"
                )),
            }
        }
        if self.text("service").is_some() {
            self.object("names a service, and premain reads no service file: write host, user, …");
        }
        if self.text("gssencmode") == Some("require") {
            self.object("says gssencmode=require, and premain encrypts with TLS only");
        }
    }

    fn user(&mut self) -> &'a str {
        self.text("user").unwrap_or_else(|| {
            self.object("names no user: postgres://USER:PASSWORD@HOST/DATABASE");
            ""
        })
    }

    /// Servers and ports, paired as libpq pairs them.
    fn hosts(&mut self, mode: SslMode) -> Vec<Host> {
        let ports = self.ports();
        let names = self.names(mode);
        if ports.len() > 1 && ports.len() != names.len() {
            self.object(&format!(
                "has {} hosts and {} ports",
                names.len(),
                ports.len()
            ));
        }
        let first = ports.first().copied().unwrap_or(DEFAULT_PORT);
        let port = |index: usize| ports.get(index).copied().unwrap_or(first);
        names
            .iter()
            .enumerate()
            .map(|(index, name)| Host::new(name, port(index)))
            .collect()
    }

    fn ports(&mut self) -> Vec<u16> {
        let Some(text) = self.text("port") else {
            return Vec::new();
        };
        let port = |text: &str| match text.trim() {
            "" => Some(DEFAULT_PORT),
            number => number.parse().ok().filter(|port| *port != 0),
        };
        if let Some(ports) = text.split(',').map(port).collect() {
            return ports;
        }
        let allowed = "a port from 1 to 65535";
        let numeric = text
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, ',' | '-'));
        if numeric
            || self
                .settings
                .entries
                .get("port")
                .is_some_and(|s| s.variable.is_some())
        {
            self.complain("port", allowed);
        } else {
            // It may be a password whose host was forgotten: not to be shown.
            self.object(&format!(
                "has a ':' that is not followed by {allowed}: if it stands in front of the \
                 password, the '@HOST' is missing or the password has a '/', '?' or '#' to be \
                 percent-encoded"
            ));
        }
        Vec::new()
    }

    fn names(&mut self, mode: SslMode) -> Vec<&'a str> {
        let names: Vec<_> = self
            .text("host")
            .map(|list| list.split(',').collect())
            .unwrap_or_default();
        let addresses: Vec<_> = self
            .text("hostaddr")
            .map(|list| list.split(',').collect())
            .unwrap_or_default();
        if !addresses
            .iter()
            .all(|text| text.is_empty() || text.parse::<IpAddr>().is_ok())
        {
            self.complain("hostaddr", "an IP address");
        }
        if !names.is_empty() && !addresses.is_empty() && names.len() != addresses.len() {
            self.object(&format!(
                "has {} hosts and {} hostaddrs",
                names.len(),
                addresses.len()
            ));
        }
        if !names.iter().all(|name| is_host(name.trim())) {
            let advice = "a host's name or address; a port stands apart from it";
            self.complain("host", advice);
        }
        if mode == SslMode::VerifyFull && names.is_empty() && !addresses.is_empty() {
            self.object("says sslmode=verify-full, and has a hostaddr but no host to verify");
        }
        // An address saves the look-up, where the name is not needed to verify the server.
        let count = names.len().max(addresses.len()).max(1);
        let at = |list: &[&'a str], index: usize| {
            list.get(index)
                .map(|text| text.trim())
                .filter(|text| !text.is_empty())
        };
        (0..count)
            .map(|index| match (at(&names, index), at(&addresses, index)) {
                (Some(name), _) if mode == SslMode::VerifyFull => name,
                (_, Some(address)) => address,
                (Some(name), None) => name,
                (None, None) => "localhost",
            })
            .collect()
    }

    fn ssl_mode(&mut self) -> SslMode {
        let said = self.said_ssl_mode();
        if self.text("sslrootcert") != Some("system") {
            return self.accepted_certificates(said);
        }
        match said {
            None => SslMode::VerifyFull,
            Some(SslMode::Prefer | SslMode::Require | SslMode::VerifyCa) => {
                let mode = self.called("sslmode");
                self.object(&format!(
                    "has sslrootcert=system, which takes sslmode=verify-full and not the weaker {mode}"
                ));
                SslMode::VerifyFull
            }
            Some(mode) => mode,
        }
    }

    /// `sslmode`, or what other drivers call `ssl`.
    fn said_ssl_mode(&mut self) -> Option<SslMode> {
        if self.settings.says("sslmode") {
            return self.choice("sslmode", &SSL_MODES);
        }
        match self.text("ssl")? {
            "true" | "1" => Some(SslMode::Require),
            "false" | "0" => Some(SslMode::Disable),
            text => {
                let mode = value::choice(text, &SSL_MODES).ok();
                if mode.is_none() {
                    self.complain(
                        "ssl",
                        "true, false, no-verify or another of sslmode's words",
                    );
                }
                mode
            }
        }
    }

    /// Prisma's `sslaccept` changes what `sslmode=require` proves; `prefer` proves nothing, and
    /// what verifies already is libpq's and stays.
    fn accepted_certificates(&mut self, said: Option<SslMode>) -> SslMode {
        let mode = said.unwrap_or_default();
        let choices = [
            ("strict", SslMode::VerifyFull),
            ("accept_invalid_certs", SslMode::NoVerify),
        ];
        match self.choice("sslaccept", &choices) {
            Some(accepted) if mode == SslMode::Require => accepted,
            _ => mode,
        }
    }

    fn tls(&mut self, mode: SslMode, hosts: &[Host]) -> Tls {
        let channel_binding = self
            .choice("channel_binding", &CHANNEL_BINDINGS)
            .unwrap_or_default();
        let direct = self
            .choice("sslnegotiation", &[("postgres", false), ("direct", true)])
            .unwrap_or_default();
        let plain =
            mode == SslMode::Disable || hosts.iter().all(|host| matches!(host, Host::Unix { .. }));
        if plain {
            if channel_binding == ChannelBinding::Require {
                self.object("requires channel binding, which takes TLS, and has none");
            }
            return Tls {
                mode,
                channel_binding,
                ..Tls::default()
            };
        }
        if direct && mode == SslMode::Prefer {
            self.object("says sslnegotiation=direct, which takes sslmode=require or more");
        }
        if self.text("sslidentity").is_some() {
            self.object(
                "has an sslidentity, a PKCS#12 file, which premain cannot read: give sslcert and \
                 sslkey, two PEM files (openssl pkcs12 -in FILE -nodes), in MIGRATION_DATABASE_URL",
            );
        }
        let (root, client) = self.certificates();
        Tls {
            mode,
            root,
            client,
            channel_binding,
            direct,
        }
    }

    fn certificates(&mut self) -> (Option<RootCertificates>, Option<(PathBuf, PathBuf)>) {
        let prismas = self.text("sslaccept").is_some() || self.text("sslidentity").is_some();
        let root = match self.text("sslrootcert") {
            Some("system") => Some(RootCertificates::System),
            Some(path) => {
                self.check_pem("sslrootcert", Path::new(path), "CERTIFICATE-----");
                Some(RootCertificates::File(path.into()))
            }
            None => None,
        };
        match (self.text("sslcert"), self.text("sslkey")) {
            (Some(certificate), Some(key)) => {
                self.check_pem("sslcert", Path::new(certificate), "CERTIFICATE-----");
                self.check_pem("sslkey", Path::new(key), "PRIVATE KEY-----");
                (root, Some((certificate.into(), key.into())))
            }
            (Some(certificate), None) if prismas && root.is_none() => {
                let path = beside_prisma_schema(certificate);
                self.check_pem("sslcert", &path, "CERTIFICATE-----");
                (Some(RootCertificates::File(path)), None)
            }
            (Some(_), None) => {
                let named = self.called("sslcert");
                self.object(&format!(
                    "has no sslkey to {named}; the server's authority, if that is meant, is \
                     sslrootcert"
                ));
                (root, None)
            }
            (None, Some(_)) => {
                let named = self.called("sslkey");
                self.object(&format!("has no sslcert to {named}"));
                (root, None)
            }
            (None, None) => (root, None),
        }
    }

    /// A file that is there and holds what it should.
    fn check_pem(&mut self, key: &str, path: &Path, content: &str) {
        let shown = path.display();
        match fs::read(path) {
            Err(error) => {
                self.complain_of_file(key, &format!("{shown}, which cannot be read: {error}"));
            }
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                if !text.contains(content) {
                    self.complain_of_file(
                        key,
                        &format!("{shown}, which is no PEM file of its kind"),
                    );
                } else if key == "sslkey" && text.contains("ENCRYPTED") {
                    self.complain_of_file(
                        key,
                        &format!(
                            "{shown}, which is encrypted: premain cannot ask for its password"
                        ),
                    );
                }
            }
        }
    }

    fn complain_of_file(&mut self, key: &str, what: &str) {
        let Some(setting) = self.settings.entries.get(key) else {
            return;
        };
        match setting.variable.clone() {
            None => self.object(&format!("says {key}={what}")),
            Some(name) => self.problems.push(Problem {
                name,
                what: format!("is {what}"),
            }),
        }
    }

    /// `options`, and the search path that Go's drivers take as a parameter of its own.
    fn options(&self) -> Option<String> {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace(' ', "\\ ");
        let search_path = self
            .text("search_path")
            .map(|p| format!("-c search_path={}", escaped(p)));
        match (self.text("options"), search_path) {
            (Some(options), Some(path)) => Some(format!("{options} {path}")),
            (options, path) => path.or(options.map(str::to_owned)),
        }
    }

    fn connect_timeout(&mut self) -> Option<Duration> {
        let text = self.text("connect_timeout")?;
        match text.trim().parse::<i32>() {
            // libpq: zero and below are for ever.
            Ok(seconds) => u64::try_from(seconds)
                .ok()
                .filter(|s| *s > 0)
                .map(Duration::from_secs),
            Err(_) => {
                self.complain("connect_timeout", "a whole number of seconds");
                None
            }
        }
    }
}

/// A path, an IPv6 address, or something without blanks, colons and slashes.
fn is_host(text: &str) -> bool {
    text.starts_with('/')
        || text
            .split('%')
            .next()
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
        || !text.contains(|c: char| c.is_whitespace() || c.is_control() || ":/@?#[]".contains(c))
}

/// Prisma takes a relative path from its schema's folder.
fn beside_prisma_schema(path: &str) -> PathBuf {
    let beside = Path::new("prisma").join(path);
    if !Path::new(path).exists() && beside.exists() {
        beside
    } else {
        path.into()
    }
}
