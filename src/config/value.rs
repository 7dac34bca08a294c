//! The types of the options' values, and how each is parsed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use tracing::Level;

use crate::database::connection_string::url::redact;
use crate::hooks::command;
use crate::init::SignalTarget;
use crate::init::rules::{Remap, Rewrite};
use crate::launch::User;
use crate::migrate::formats::Format;
use crate::migrate::settings::{HistoryTableName, Policy, SourceChoice};
use crate::signal::Signal;
use crate::value::{Allowed, choice};
use crate::wait::Target;

/// What is wrong with a value, as the end of a sentence that begins with the option's name.
pub(crate) enum Invalid {
    /// It should have been this: "is 'soon', not a duration".
    Expected(Allowed),
    /// A whole predicate, which shows no secret: "names no program".
    Fault(String),
}

/// A type that the value of an option can have.
pub(crate) trait Value: Sized {
    /// Whether an empty variable is an error instead of unset, because the default is less safe
    /// than any value.
    const REJECTS_EMPTY: bool = false;
    /// Whether messages may show the value, once URLs in it are redacted.
    const SHOWN: bool = true;

    /// Parses `text`, which has no blanks around it. `origin` is the option or the variable, for
    /// messages; what looks doubtful is added to `warnings`.
    ///
    /// # Errors
    /// What is wrong with it.
    fn parse(text: &str, origin: &str, warnings: &mut Vec<String>) -> Result<Self, Invalid>;

    /// What a shell should complete.
    fn completion() -> Completion {
        Completion::Nothing
    }
}

/// What a shell completes as the value of an option.
pub(crate) enum Completion {
    /// One of these words.
    Words(Vec<&'static str>),
    /// A directory, or one of these words.
    Directory(Vec<&'static str>),
    Nothing,
}

/// A timeout; 0 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(pub Option<Duration>);

/// A timeout that PostgreSQL counts in milliseconds, as a signed 32-bit number; 0 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServerLimit(pub Option<Duration>);

/// A timeout that is never "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeout(pub Duration);

/// A pause; 0 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pause(pub Duration);

pub(crate) struct Count(pub u32);

/// An option without a value on the command line.
pub(crate) struct Flag(pub bool);

/// A program and its arguments.
pub(crate) struct HookCommand(pub Vec<OsString>);

/// The name of an environment variable.
pub(crate) struct VariableName(pub String);

/// The directory of hooks; `None` for `none`.
pub(crate) struct HookDirectory(pub Option<PathBuf>);

/// `--http`
pub(crate) struct HttpTarget(pub Target);

/// `--tcp`
pub(crate) struct TcpTarget(pub Target);

/// `--log-format`
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// `--output`
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Table,
    Json,
}

const LEVELS: &[(&str, Level)] = &[
    ("error", Level::ERROR),
    ("warn", Level::WARN),
    ("info", Level::INFO),
    ("debug", Level::DEBUG),
    ("trace", Level::TRACE),
];

/// Makes a [`Value`] of a parser whose error is what it expects.
macro_rules! parsed {
    ($($type:ty = $parse:expr;)*) => { $(impl Value for $type {
        fn parse(text: &str, _: &str, _: &mut Vec<String>) -> Result<Self, Invalid> {
            $parse(text).map_err(Invalid::Expected)
        }
    })* };
}

/// Makes a [`Value`] of a list of words and what each means.
macro_rules! choices {
    ($($type:ty = $all:expr;)*) => { $(impl Value for $type {
        fn parse(text: &str, _: &str, _: &mut Vec<String>) -> Result<Self, Invalid> {
            choice(text, $all).map_err(Invalid::Expected)
        }

        fn completion() -> Completion {
            Completion::Words($all.iter().map(|(word, _)| *word).collect())
        }
    })* };
}

parsed! {
    Limit = |text| duration(text).map(|limit| Limit(none_if_zero(limit)));
    ServerLimit = server_limit;
    Timeout = timeout;
    Pause = |text| duration(text).map(Pause);
    Count = count;
    Flag = flag;
    HistoryTableName = HistoryTableName::parse;
    Rewrite = Rewrite::parse;
    Remap = Remap::parse;
    Signal = Signal::parse;
    HttpTarget = http;
    TcpTarget = tcp;
}

choices! {
    Policy = Policy::ALL;
    SignalTarget = &[("child", SignalTarget::Child), ("group", SignalTarget::Group)];
    Level = LEVELS;
    LogFormat = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
    Output = &[("table", Output::Table), ("json", Output::Json)];
}

impl Value for Format {
    fn parse(text: &str, _: &str, _: &mut Vec<String>) -> Result<Self, Invalid> {
        Format::parse(text).map_err(Invalid::Expected)
    }

    fn completion() -> Completion {
        Completion::Words(Format::all().map(Format::name).collect())
    }
}

impl Value for Target {
    fn parse(text: &str, origin: &str, warnings: &mut Vec<String>) -> Result<Self, Invalid> {
        Target::parse(text, origin, warnings).map_err(Invalid::Expected)
    }
}

impl Value for SourceChoice {
    fn parse(text: &str, _: &str, _: &mut Vec<String>) -> Result<Self, Invalid> {
        Ok(match text {
            "auto" => SourceChoice::Auto,
            "embedded" => SourceChoice::Embedded,
            "none" => SourceChoice::None,
            directory => SourceChoice::Directory(directory.into()),
        })
    }

    fn completion() -> Completion {
        Completion::Directory(vec!["auto", "embedded", "none"])
    }
}

impl Value for HookDirectory {
    fn parse(text: &str, _: &str, _: &mut Vec<String>) -> Result<Self, Invalid> {
        Ok(HookDirectory((text != "none").then(|| text.into())))
    }

    fn completion() -> Completion {
        Completion::Directory(vec!["none"])
    }
}

impl Value for HookCommand {
    /// A command may hold a password.
    const SHOWN: bool = false;

    fn parse(text: &str, _: &str, _: &mut Vec<String>) -> Result<Self, Invalid> {
        command::parse(text).map(HookCommand).map_err(Invalid::Fault)
    }
}

impl Value for User {
    /// `--user "$APP_USER"` must not run the application as root when the variable is unset.
    const REJECTS_EMPTY: bool = true;

    fn parse(text: &str, _: &str, _: &mut Vec<String>) -> Result<Self, Invalid> {
        let fault = |why| Invalid::Fault(format!("{}: {why}", redact(text)));
        User::parse(text).map_err(fault)
    }
}

impl Value for VariableName {
    /// Nothing would be kept from the application.
    const REJECTS_EMPTY: bool = true;

    fn parse(text: &str, _: &str, _: &mut Vec<String>) -> Result<Self, Invalid> {
        match text.contains('=') {
            true => Err(Invalid::Expected("a variable's name, without '=' and a value".to_owned())),
            false => Ok(VariableName(text.to_owned())),
        }
    }
}

/// The longest duration: 136 years. Added to any moment, it does not overflow.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

/// `5s`, `500ms`, `1m 30s`, or a bare number of seconds.
fn duration(text: &str) -> Result<Duration, Allowed> {
    let seconds = text.parse().map(Duration::from_secs);
    let duration = seconds
        .or_else(|_| humantime::parse_duration(text))
        .map_err(|_| "a duration such as 5s, 500ms, 2m or 1m 30s".to_owned())?;
    match duration > LONGEST {
        true => Err("a duration of at most 136 years".to_owned()),
        false => Ok(duration),
    }
}

fn none_if_zero(duration: Duration) -> Option<Duration> {
    Some(duration).filter(|duration| !duration.is_zero())
}

fn server_limit(text: &str) -> Result<ServerLimit, Allowed> {
    let duration = duration(text)?;
    // PostgreSQL would take a fraction of a millisecond for 0, which means "none".
    match duration.is_zero() || (1..=i32::MAX as u128).contains(&duration.as_millis()) {
        true => Ok(ServerLimit(none_if_zero(duration))),
        false => Err("0, or a duration from 1ms to 2147483647ms (24 days)".to_owned()),
    }
}

fn timeout(text: &str) -> Result<Timeout, Allowed> {
    let duration = duration(text)?;
    match duration.as_millis() {
        0 => Err("a duration of at least 1ms".to_owned()),
        _ => Ok(Timeout(duration)),
    }
}

fn flag(text: &str) -> Result<Flag, Allowed> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(Flag(true)),
        "0" | "false" | "no" | "off" => Ok(Flag(false)),
        _ => Err("true or false (also 1, 0, yes, no, on, off)".to_owned()),
    }
}

fn count(text: &str) -> Result<Count, Allowed> {
    text.parse().map(Count).map_err(|_| format!("a whole number from 0 to {}", u32::MAX))
}

fn http(text: &str) -> Result<HttpTarget, Allowed> {
    match text.split_once("://") {
        Some(("http" | "https", _)) => target(text).map(HttpTarget),
        _ => Err("http(s)://HOST[:PORT][/PATH]".to_owned()),
    }
}

fn tcp(text: &str) -> Result<TcpTarget, Allowed> {
    target(&format!("tcp://{text}")).map(TcpTarget).map_err(|_| "HOST:PORT".to_owned())
}

/// A page or a port, neither of which has a login.
fn target(text: &str) -> Result<Target, Allowed> {
    Target::parse(text, "", &mut Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_as_people_write_them() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "-1", "5 parsecs", "1.5.1s", "ten"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn durations_that_overflow_a_moment_are_rejected() {
        for wrong in ["4294967296", "137y", "584542046090y", "18446744073709551615"] {
            assert!(duration(wrong).unwrap_err().contains("136 years"), "{wrong}");
        }
        assert!(duration("136y").is_ok());
    }

    #[test]
    fn timeouts_of_the_server_fit_its_milliseconds() {
        let limit = |text| server_limit(text).map(|ServerLimit(limit)| limit);
        for zero in ["0", "0s"] {
            assert_eq!(limit(zero), Ok(None));
        }
        assert_eq!(limit("1ms"), Ok(Some(Duration::from_millis(1))));
        assert_eq!(limit("2147483647ms"), Ok(Some(Duration::from_millis(2_147_483_647))));
        for wrong in ["1us", "999us", "2147483648ms", "25days"] {
            assert!(limit(wrong).unwrap_err().contains("from 1ms to 2147483647ms"), "{wrong}");
        }
    }

    #[test]
    fn a_health_check_needs_time() {
        assert!(timeout("0").is_err() && timeout("1us").is_err());
        assert_eq!(timeout("1ms"), Ok(Timeout(Duration::from_millis(1))));
    }
}
