//! A signal: its number, its name, and how a user writes it.

use crate::value::Allowed;

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
    /// SIGSTOP
    pub const STOP: Signal = Signal(libc::SIGSTOP);
    /// SIGTSTP
    pub const TSTP: Signal = Signal(libc::SIGTSTP);
    /// SIGTTIN
    pub const TTIN: Signal = Signal(libc::SIGTTIN);
    /// SIGTTOU
    pub const TTOU: Signal = Signal(libc::SIGTTOU);
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
