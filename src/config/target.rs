//! `--wait-for`: what else to wait for.

use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::settings::Settings;
use super::value::Allowed;
use super::{HttpUrl, Target, url};

/// Every form of a target.
const FORMS: &str = "tcp://HOST:PORT, http(s)://HOST[:PORT][/PATH], unix:///PATH, file:///PATH or \
                     postgres://USER:PASSWORD@HOST:PORT/DATABASE";

/// What cannot stand in a request line, line ends before all.
const UNPRINTABLE: &AsciiSet = &CONTROLS.add(b' ');

/// A target that stands in `origin`, which is an option or a variable.
///
/// # Errors
/// The forms of a target, or what is wrong with this one; without secrets.
pub fn target(text: &str, origin: &str, warnings: &mut Vec<String>) -> Result<Target, Allowed> {
    let forms = || FORMS.to_owned();
    let (scheme, rest) = text.split_once("://").ok_or_else(forms)?;
    match scheme.to_ascii_lowercase().as_str() {
        "tcp" => tcp(rest).ok_or_else(|| "tcp://HOST:PORT".to_owned()),
        "http" => http(false, rest).ok_or_else(|| "http://HOST[:PORT][/PATH]".to_owned()),
        "https" => http(true, rest).ok_or_else(|| "https://HOST[:PORT][/PATH]".to_owned()),
        "unix" => path(rest)
            .map(Target::Unix)
            .ok_or_else(|| "unix:///PATH".to_owned()),
        "file" => path(rest)
            .map(Target::File)
            .ok_or_else(|| "file:///PATH".to_owned()),
        _ if url::is_postgres(text) => postgres(text, origin, warnings),
        _ => Err(forms()),
    }
}

impl HttpUrl {
    /// Host and port as a `Host:` header has them: `[::1]:8080`.
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
    /// Without the query, which may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.authority())
    }
}

fn tcp(rest: &str) -> Option<Target> {
    let (host, port) = url::split_host(rest.strip_suffix('/').unwrap_or(rest)).ok()?;
    Some(Target::Tcp {
        host: host_name(host)?,
        port: port.parse().ok().filter(|port| *port != 0)?,
    })
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
    Some(Target::Http(HttpUrl {
        tls,
        host: host_name(host)?,
        port,
        path,
    }))
}

/// A name that can be looked up; a login in front of it is not supported.
fn host_name(text: &str) -> Option<String> {
    let strange = |c: char| c.is_whitespace() || c.is_control() || "/@?#[]".contains(c);
    (!text.is_empty() && !text.contains(strange)).then(|| text.to_owned())
}

fn path(rest: &str) -> Option<std::path::PathBuf> {
    let path = percent_decode_str(rest).decode_utf8().ok()?;
    (path.len() > 1 && path.starts_with('/') && !path.contains('\0')).then(|| path.as_ref().into())
}

fn postgres(text: &str, origin: &str, warnings: &mut Vec<String>) -> Result<Target, Allowed> {
    let allowed = |why: &str| format!("a postgres:// URL that can be used: it {why}");
    let parts = url::parse(text).map_err(|fault| allowed(&fault))?;
    warnings.extend(parts.doubts.iter().map(|doubt| format!("{origin} {doubt}")));
    let mut problems = Vec::new();
    match Settings::of_url(origin, parts).database(&mut problems, warnings) {
        Some(database) => Ok(Target::Postgres(Box::new(database))),
        None => {
            let reasons: Vec<_> = problems.into_iter().map(|problem| problem.what).collect();
            Err(allowed(&reasons.join(", and ")))
        }
    }
}
