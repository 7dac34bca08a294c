//! The settings of one PostgreSQL database: where it is, how to log in, and how to encrypt.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::secret::Secret;

/// PostgreSQL's default port.
pub const DEFAULT_PORT: u16 = 5432;

/// One database, on one server or on several that can replace each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// The servers to try, in order; never empty.
    pub hosts: Vec<Host>,
    /// The role to log in as.
    pub user: String,
    /// The password of the role, if one was given.
    pub password: Option<Secret>,
    /// The name of the database.
    pub name: String,
    /// How connections are encrypted.
    pub tls: Tls,
    /// `require_auth`: how the server may ask us to authenticate; `None` for any way.
    pub require_auth: Option<RequireAuth>,
    /// `requirepeer`: the user that the server behind a unix socket runs as.
    pub require_peer: Option<Peer>,
    /// Server settings for the session, `-c name=value …`, as libpq's `options`.
    pub options: Option<String>,
    /// The name that `pg_stat_activity` shows.
    pub application_name: Option<String>,
    /// Which kind of server to use.
    pub session: SessionTarget,
    /// Prisma's `schema`: where unqualified names live.
    pub schema: Option<String>,
    /// The timeout of one attempt, if the URL has one.
    pub connect_timeout: Option<Duration>,
    /// The variable or option that names it, for messages: `DATABASE_URL`.
    pub origin: String,
}

impl Database {
    /// A login that no server accepts, to find out whether the server answers.
    pub(crate) fn for_probe(host: Host) -> Database {
        Database {
            hosts: vec![host],
            user: "premain".to_owned(),
            password: None,
            name: "postgres".to_owned(),
            tls: Tls { mode: SslMode::Disable, ..Tls::default() },
            require_auth: None,
            require_peer: None,
            options: None,
            application_name: None,
            session: SessionTarget::Any,
            schema: None,
            connect_timeout: None,
            origin: String::new(),
        }
    }

    /// `options` as given, and Prisma's `schema` as the search path.
    pub fn session_options(&self) -> Option<String> {
        let path = self.schema.as_ref().map(|schema| {
            let quoted = format!("\"{}\"", schema.replace('"', "\"\""));
            // In `options`, a blank after a backslash does not end the word.
            let escaped: String = quoted
                .chars()
                .flat_map(|c| {
                    (c == '\\' || c.is_whitespace()).then_some('\\').into_iter().chain([c])
                })
                .collect();
            format!("-c search_path={escaped}")
        });
        match (&self.options, path) {
            (None, path) => path,
            (Some(options), None) => Some(options.clone()),
            (Some(options), Some(path)) => Some(format!("{options} {path}")),
        }
    }
}

impl fmt::Display for Database {
    /// `devx@db:5432/devxplatform`: for log lines, without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@", self.user)?;
        for (index, host) in self.hosts.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{host}")?;
        }
        write!(f, "/{}", self.name)
    }
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name or address, and a port.
    Tcp {
        /// Name or address, without the brackets of IPv6; what the server's certificate is for.
        host: String,
        /// `hostaddr`: the address to connect to, in place of those that `host` has.
        address: Option<IpAddr>,
        /// The port.
        port: u16,
    },
    /// A unix socket.
    Unix {
        /// The directory of the socket.
        directory: PathBuf,
        /// The port in the name of the socket.
        port: u16,
    },
}

impl Host {
    /// A path is the directory of a socket, anything else a name or address.
    pub(crate) fn new(host: &str, port: u16) -> Host {
        if host.starts_with('/') {
            Host::Unix { directory: host.into(), port }
        } else {
            Host::Tcp { host: host.to_owned(), address: None, port }
        }
    }
}

impl fmt::Display for Host {
    /// What is connected to: `db:5432`, `[::1]:5432`, `/run/postgresql/.s.PGSQL.5432`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Tcp { address: Some(IpAddr::V6(address)), port, .. } => {
                write!(f, "[{address}]:{port}")
            }
            Host::Tcp { address: Some(address), port, .. } => write!(f, "{address}:{port}"),
            Host::Tcp { host, port, .. } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Host::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Host::Unix { directory, port } => {
                write!(f, "{}", directory.join(format!(".s.PGSQL.{port}")).display())
            }
        }
    }
}

/// How a connection is encrypted, and what must be proved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// `sslmode`.
    pub mode: SslMode,
    /// `sslrootcert`.
    pub root: Option<RootCertificates>,
    /// `sslcert` and `sslkey`, PEM files.
    pub client: Option<(PathBuf, PathBuf)>,
    /// `channel_binding`.
    pub channel_binding: ChannelBinding,
    /// `sslnegotiation=direct`: the handshake comes first, without a request (PostgreSQL 17).
    pub direct: bool,
    /// `sslcrl`: a PEM file of certificates that were revoked.
    pub revoked: Option<PathBuf>,
    /// `sslcrldir`: a directory of such files.
    pub revoked_directory: Option<PathBuf>,
    /// The only version that `ssl_min_protocol_version` and `ssl_max_protocol_version` leave.
    pub version: Option<TlsVersion>,
}

/// The versions of TLS that premain knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2
    V12,
    /// TLS 1.3
    V13,
}

/// `require_auth`: the ways to authenticate that are acceptable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequireAuth {
    /// As it was given, for messages and for hooks.
    pub text: String,
    /// Those that premain knows.
    pub methods: Vec<AuthMethod>,
}

/// A way in which a server lets a user in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMethod {
    /// Without asking for anything: `trust`, `peer` or `cert` on the server's side.
    None,
    /// By the password in clear text.
    Password,
    /// By the MD5 of the password.
    Md5,
    /// By SCRAM-SHA-256, with channel binding or without.
    ScramSha256,
}

/// A user of the operating system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The name, for messages and for hooks.
    pub name: String,
    /// The number.
    pub uid: u32,
}

/// `sslmode`, in libpq's meaning, and node-postgres's `no-verify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// Encrypted if the server offers it; unverified. (libpq's `allow` means the same here.)
    #[default]
    Prefer,
    /// Always encrypted; with a root certificate as [`SslMode::VerifyCa`], otherwise unverified.
    Require,
    /// Always encrypted, with a certificate of a known authority.
    VerifyCa,
    /// Always encrypted, with a certificate of a known authority for this very host.
    VerifyFull,
    /// Always encrypted, never verified.
    NoVerify,
}

/// `sslrootcert`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCertificates {
    /// Those of the operating system.
    System,
    /// A PEM file.
    File(PathBuf),
}

/// `channel_binding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChannelBinding {
    /// Never used.
    Disable,
    /// Used if the server supports it.
    #[default]
    Prefer,
    /// Required: otherwise the login fails.
    Require,
}

/// `target_session_attrs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SessionTarget {
    /// Any server.
    #[default]
    Any,
    /// A server that takes writes.
    ReadWrite,
    /// A server that takes no writes.
    ReadOnly,
    /// A server that is not in recovery.
    Primary,
    /// A server in recovery.
    Standby,
    /// A standby, or any if there is none.
    PreferStandby,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_shown_as_one_would_connect_to_it() {
        for (host, shown) in [
            ("db", "db:5433"),
            ("10.0.0.7", "10.0.0.7:5433"),
            ("::1", "[::1]:5433"),
            ("/run/postgresql", "/run/postgresql/.s.PGSQL.5433"),
        ] {
            assert_eq!(Host::new(host, 5433).to_string(), shown);
        }
    }

    #[test]
    fn a_database_is_shown_without_its_password() {
        let database = Database {
            hosts: vec![Host::new("db", DEFAULT_PORT), Host::new("/run", 5433)],
            user: "devx".to_owned(),
            password: Some(Secret::new("hunter2")),
            name: "devxplatform".to_owned(),
            tls: Tls::default(),
            require_auth: None,
            require_peer: None,
            options: None,
            application_name: None,
            session: SessionTarget::default(),
            schema: None,
            connect_timeout: None,
            origin: "DATABASE_URL".to_owned(),
        };
        assert_eq!(database.to_string(), "devx@db:5432,/run/.s.PGSQL.5433/devxplatform");
        assert!(!format!("{database:?}").contains("hunter2"));
    }
}
