//! The values of options: durations, flags, signals, pairs. Each parser's error is the sentence's
//! end that says what is allowed: "… is 'x', which is not a duration: …".

use std::time::Duration;

/// What `text` should have been.
pub type Allowed = String;

/// `5s`, `500ms`, `1m 30s`, or a bare number of seconds.
///
/// # Errors
/// What a duration looks like.
pub fn duration(text: &str) -> Result<Duration, Allowed> {
    let number = text.parse::<u32>().map(|seconds| Duration::from_secs(seconds.into()));
    number
        .or_else(|_| humantime::parse_duration(text))
        .map_err(|_| "a duration such as 5s, 500ms, 2m or 1m 30s".to_owned())
}

/// A duration of which 0 means "no limit".
///
/// # Errors
/// What a duration looks like.
pub fn limit(text: &str) -> Result<Option<Duration>, Allowed> {
    duration(text).map(|limit| Some(limit).filter(|limit| !limit.is_zero()))
}

/// `true` or `false`, in the words that people use in environment variables.
///
/// # Errors
/// Those words.
pub fn flag(text: &str) -> Result<bool, Allowed> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("true or false (also 1, 0, yes, no, on, off)".to_owned()),
    }
}

/// A whole number.
///
/// # Errors
/// Its range.
pub fn count(text: &str) -> Result<u32, Allowed> {
    text.parse().map_err(|_| format!("a whole number from 0 to {}", u32::MAX))
}

/// One of a few words.
///
/// # Errors
/// All of them.
pub fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, Allowed> {
    choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        format!("one of {}", words.join(", "))
    })
}

/// The single values of an option that may stand several times: split at blanks and line ends.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

/// A signal number that can be sent to an application, 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

impl Signal {
    /// SIGTERM
    pub const TERM: Signal = Signal(libc::SIGTERM);
    /// SIGINT
    pub const INT: Signal = Signal(libc::SIGINT);
    /// SIGKILL
    pub const KILL: Signal = Signal(libc::SIGKILL);
    /// SIGCHLD
    pub const CHLD: Signal = Signal(libc::SIGCHLD);
    /// SIGCONT
    pub const CONT: Signal = Signal(libc::SIGCONT);
    /// SIGPIPE
    pub const PIPE: Signal = Signal(libc::SIGPIPE);
    /// SIGTSTP
    pub const TSTP: Signal = Signal(libc::SIGTSTP);
    /// The number of the last real-time signal; the C library keeps 32 and 33 for itself.
    const MAX: i32 = 64;

    /// The signal of that number, if there is one.
    pub const fn from_number(number: i32) -> Option<Signal> {
        if 1 <= number && number <= Self::MAX { Some(Signal(number)) } else { None }
    }

    /// Its number.
    pub fn number(self) -> i32 {
        self.0
    }

    /// `TERM`, `SIGTERM`, `15`, `RTMIN+3`, `RTMAX-1`.
    ///
    /// # Errors
    /// What a signal looks like.
    pub fn parse(text: &str) -> Result<Signal, Allowed> {
        let allowed = || "a signal such as TERM, SIGHUP, 15 or RTMIN+3".to_owned();
        if let Ok(number) = text.parse() {
            return Signal::from_number(number).ok_or_else(allowed);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(Signal(*number));
        }
        real_time(name).ok_or_else(allowed)
    }
}

/// `RTMIN`, `RTMIN+n`, `RTMAX`, `RTMAX-n`. The first real-time signal is the C library's to say (34
/// in glibc and musl: it keeps two for itself), and `docker` and `kill -l` count the same way.
fn real_time(name: &str) -> Option<Signal> {
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) => libc::SIGRTMIN(),
        (Some(offset), _) => {
            libc::SIGRTMIN() + i32::from(offset.strip_prefix('+')?.parse::<u8>().ok()?)
        }
        (_, Some("")) => libc::SIGRTMAX(),
        (_, Some(offset)) => {
            libc::SIGRTMAX() - i32::from(offset.strip_prefix('-')?.parse::<u8>().ok()?)
        }
        _ => return None,
    };
    (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&number).then_some(Signal(number))
}

const NAMES: [(&str, i32); 34] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("IOT", libc::SIGIOT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("POLL", libc::SIGPOLL),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

impl std::fmt::Display for Signal {
    /// `SIGTERM`; `SIGRTMIN+3`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None if self.0 >= libc::SIGRTMIN() => {
                write!(f, "SIGRTMIN+{}", self.0 - libc::SIGRTMIN())
            }
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// `FROM:TO` of two signals; TO 0 means "drop it".
///
/// # Errors
/// What a pair looks like.
pub fn rewrite(text: &str) -> Result<(Signal, Option<Signal>), Allowed> {
    let allowed = |why: String| format!("FROM:TO, two signals, TO 0 to drop it ({why})");
    let (from, to) = text.split_once(':').ok_or_else(|| allowed("no colon".to_owned()))?;
    let from = Signal::parse(from).map_err(|_| allowed(format!("'{from}' is no signal")))?;
    let to = match to {
        "0" => None,
        to => Some(Signal::parse(to).map_err(|_| allowed(format!("'{to}' is no signal")))?),
    };
    Ok((from, to))
}

/// `FROM:TO` of two exit statuses.
///
/// # Errors
/// What a pair looks like.
pub fn remap(text: &str) -> Result<(u8, u8), Allowed> {
    text.split_once(':')
        .and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)))
        .ok_or_else(|| "FROM:TO, two exit statuses from 0 to 255, such as 143:0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(limit("0"), Ok(None));
        assert_eq!(limit("0s"), Ok(None));
        for wrong in ["", "-1", "5 parsecs", "1.5.1s", "ten"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn signals_by_name_and_by_number() {
        for (text, number) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigterm", 15),
            ("15", 15),
            ("RTMIN+3", 37),
            ("SIGRTMAX-1", 63),
            ("64", 64),
        ] {
            assert_eq!(Signal::parse(text).map(Signal::number), Ok(number), "{text}");
        }
        for wrong in ["", "0", "65", "-1", "SIG", "BOGUS", "RTMIN-1", "RTMIN+31", "RTMIN+"] {
            assert!(Signal::parse(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(Signal(37).to_string(), "SIGRTMIN+3");
        assert_eq!(Signal::TERM.to_string(), "SIGTERM");
    }

    #[test]
    fn pairs() {
        assert_eq!(rewrite("TERM:QUIT"), Ok((Signal(15), Some(Signal(3)))));
        assert_eq!(rewrite("HUP:0"), Ok((Signal(1), None)));
        assert!(rewrite("TERM").unwrap_err().contains("no colon"));
        assert!(rewrite("TERM:NOPE").unwrap_err().contains("'NOPE'"));
        assert_eq!(remap("143:0"), Ok((143, 0)));
        assert!(remap("143:300").is_err());
    }
}
