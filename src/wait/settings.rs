//! The settings of waiting: what to wait for and how long, and how a target is parsed.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::database::Database;
use crate::database::connection_string::settings::Settings as Parameters;
use crate::database::connection_string::url;
use crate::value::Allowed;

/// The settings of waiting.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The limit for all targets together; `None` for no limit.
    pub timeout: Option<Duration>,
    /// The targets besides the database.
    pub targets: Vec<Target>,
    /// Whether to start the application even if the database does not become ready.
    pub db_optional: bool,
}

/// Something to wait for, besides the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A port that accepts connections.
    Tcp {
        /// A name or an address.
        host: String,
        /// The port number, never 0.
        port: u16,
    },
    /// A URL that answers 2xx or 3xx.
    Http(HttpUrl),
    /// A unix socket that accepts connections.
    Unix(PathBuf),
    /// A file that exists.
    File(PathBuf),
    /// A PostgreSQL server that accepts a login.
    Postgres(Box<Database>),
    /// A PostgreSQL server that answers, even if it rejects the login.
    PostgresServer {
        /// A name or an address.
        host: String,
        /// The port number, never 0.
        port: u16,
    },
}

/// The parts of an `http://` or `https://` URL that a GET needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl {
    /// Whether it is `https`.
    pub tls: bool,
    /// A name or an address, without the brackets of IPv6.
    pub host: String,
    /// The port; 80 or 443 if the URL has none.
    pub port: u16,
    /// The path and the query, beginning with `/`.
    pub path: String,
}

/// Every form of a target, for messages.
const FORMS: &str = "tcp://HOST:PORT, http(s)://HOST[:PORT][/PATH], unix:///PATH, file:///PATH or \
                     postgres://USER:PASSWORD@HOST:PORT/DATABASE";

/// What must not be in a request line, above all line ends.
const UNPRINTABLE: &AsciiSet = &CONTROLS.add(b' ');

impl Target {
    /// Parses a target. `origin` is the option or variable that has it, for messages. libpq's
    /// variables do not complete its URL: they are about the application's own database.
    ///
    /// # Errors
    /// The forms of a target, or what is wrong with this one; without secrets.
    pub fn parse(text: &str, origin: &str, warnings: &mut Vec<String>) -> Result<Target, Allowed> {
        let forms = || FORMS.to_owned();
        let (scheme, rest) = text.split_once("://").ok_or_else(forms)?;
        match scheme.to_ascii_lowercase().as_str() {
            "tcp" => tcp(rest).ok_or_else(|| "tcp://HOST:PORT".to_owned()),
            "http" => http(false, rest).ok_or_else(|| "http://HOST[:PORT][/PATH]".to_owned()),
            "https" => http(true, rest).ok_or_else(|| "https://HOST[:PORT][/PATH]".to_owned()),
            "unix" => path(rest).map(Target::Unix).ok_or_else(|| "unix:///PATH".to_owned()),
            "file" => path(rest).map(Target::File).ok_or_else(|| "file:///PATH".to_owned()),
            _ if url::is_postgres(text) => postgres(text, origin, warnings),
            _ => Err(forms()),
        }
    }
}

impl HttpUrl {
    /// The host and port for a `Host:` header: `[::1]:8080`.
    pub fn authority(&self) -> String {
        let HttpUrl { host, port, .. } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        match (self.tls, port) {
            (false, 80) | (true, 443) => host,
            _ => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for HttpUrl {
    /// Without the query, which may contain a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.authority())
    }
}

fn tcp(rest: &str) -> Option<Target> {
    let (host, port) = url::split_host(rest.strip_suffix('/').unwrap_or(rest)).ok()?;
    Some(Target::Tcp { host: host_name(host)?, port: port.parse().ok().filter(|port| *port != 0)? })
}

fn http(tls: bool, rest: &str) -> Option<Target> {
    let (rest, _fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (host, port) = url::split_host(authority).ok()?;
    let port = match port {
        "" if tls => 443,
        "" => 80,
        port => port.parse().ok().filter(|port| *port != 0)?,
    };
    let slash = if path.starts_with('/') { "" } else { "/" };
    let path = format!("{slash}{}", utf8_percent_encode(path, UNPRINTABLE));
    Some(Target::Http(HttpUrl { tls, host: host_name(host)?, port, path }))
}

/// `text` if it can be a host name; a login before the host is not supported.
fn host_name(text: &str) -> Option<String> {
    let invalid = |c: char| c.is_whitespace() || c.is_control() || "/@?#[]".contains(c);
    (!text.is_empty() && !text.contains(invalid)).then(|| text.to_owned())
}

fn path(rest: &str) -> Option<PathBuf> {
    let path = percent_decode_str(rest).decode_utf8().ok()?;
    (path.len() > 1 && path.starts_with('/') && !path.contains('\0')).then(|| path.as_ref().into())
}

fn postgres(text: &str, origin: &str, warnings: &mut Vec<String>) -> Result<Target, Allowed> {
    let allowed = |why: &str| format!("a postgres:// URL that can be used: it {why}");
    let parts = url::parse(text).map_err(|fault| allowed(&fault))?;
    warnings.extend(parts.doubts.iter().map(|doubt| format!("{origin} {doubt}")));
    let mut problems = Vec::new();
    let database = Parameters::of_url(origin, parts).database(&mut problems, warnings);
    database.map(|database| Target::Postgres(Box::new(database))).ok_or_else(|| {
        let reasons: Vec<_> = problems.into_iter().map(|problem| problem.what).collect();
        allowed(&reasons.join(", and "))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Target, Allowed> {
        Target::parse(text, "PREMAIN_WAIT_FOR", &mut Vec::new())
    }

    fn page(tls: bool, host: &str, port: u16, path: &str) -> Target {
        Target::Http(HttpUrl { tls, host: host.to_owned(), port, path: path.to_owned() })
    }

    #[test]
    fn a_port_is_a_target() {
        let tcp = |host: &str, port| Ok(Target::Tcp { host: host.to_owned(), port });
        assert_eq!(read("tcp://redis:6379"), tcp("redis", 6379));
        assert_eq!(read("TCP://redis:6379/"), tcp("redis", 6379));
        assert_eq!(read("tcp://[::1]:6379"), tcp("::1", 6379));
        for wrong in [
            "tcp://redis",
            "tcp://redis:0",
            "tcp://redis:x",
            "tcp://:6379",
            "tcp://a:1/b",
            "tcp://u@a:1",
        ] {
            assert_eq!(read(wrong), Err("tcp://HOST:PORT".to_owned()), "{wrong}");
        }
    }

    #[test]
    fn a_page_is_a_target() {
        assert_eq!(read("http://api"), Ok(page(false, "api", 80, "/")));
        assert_eq!(read("https://api"), Ok(page(true, "api", 443, "/")));
        assert_eq!(
            read("http://api:8080/health?a=b#c"),
            Ok(page(false, "api", 8080, "/health?a=b"))
        );
        assert_eq!(read("http://[::1]:8080?a"), Ok(page(false, "::1", 8080, "/?a")));
        for wrong in ["http://", "http://:80", "http://api:x", "http://u:p@api/", "https://api:0"] {
            assert!(read(wrong).unwrap_err().contains("://HOST[:PORT][/PATH]"), "{wrong}");
        }
    }

    #[test]
    fn a_page_cannot_inject_lines_into_a_request() {
        assert_eq!(
            read("http://api/a\r\nHost: b/é"),
            Ok(page(false, "api", 80, "/a%0D%0AHost:%20b/%C3%A9"))
        );
        assert!(read("http://a\r\nb/").is_err());
    }

    #[test]
    fn sockets_and_files_are_targets() {
        assert_eq!(read("unix:///run/a.sock"), Ok(Target::Unix("/run/a.sock".into())));
        assert_eq!(read("file:///tmp/a%20b"), Ok(Target::File("/tmp/a b".into())));
        assert_eq!(read("unix://run/a.sock"), Err("unix:///PATH".to_owned()));
        assert_eq!(read("file:///"), Err("file:///PATH".to_owned()));
    }

    #[test]
    fn a_database_is_a_target() {
        let Ok(Target::Postgres(database)) = read("postgres://u:p@h/d") else {
            panic!("no database")
        };
        assert_eq!(database.to_string(), "u@h:5432/d");
        assert_eq!(database.origin, "PREMAIN_WAIT_FOR");
    }

    #[test]
    fn an_unusable_database_is_explained() {
        let said = read("postgres://h/d?sslmode=on").unwrap_err();
        assert!(said.contains("says sslmode=on, not one of"), "{said}");
        assert!(said.contains("and names no user"), "{said}");
    }

    #[test]
    fn doubts_about_a_database_are_warnings() {
        let mut warnings = Vec::new();
        Target::parse("postgres://u:p@s@h/d?nope=1", "--wait-for", &mut warnings).unwrap();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings.iter().all(|warning| warning.starts_with("--wait-for ")), "{warnings:?}");
    }

    #[test]
    fn other_texts_are_rejected_with_the_allowed_forms() {
        for wrong in ["", "db:5432", "redis://h", "://", "mysql://h/d"] {
            let said = read(wrong).unwrap_err();
            for form in ["tcp://", "http(s)://", "unix:///", "file:///", "postgres://"] {
                assert!(said.contains(form), "{wrong}: {said}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(
            scheme in "(tcp|http|https|unix|file|postgres|)(://)?", rest in ".*",
        ) {
            let _ = read(&format!("{scheme}{rest}"));
        }
    }
}
