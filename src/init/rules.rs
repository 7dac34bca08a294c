//! The settings of the init: what it does with signals and exit statuses.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::signal::Signal;
use crate::value::Allowed;

/// The settings of the init.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Run without an init: boot in this process, which becomes the application.
    pub exec: bool,
    /// The time from the first TERM or INT to the KILL; `None` for no KILL.
    pub grace: Option<Duration>,
    /// Where signals are forwarded to.
    pub signal_target: SignalTarget,
    /// The signal that arrives → the signal that is forwarded, `None` to drop it.
    pub rewrite: BTreeMap<Signal, Option<Signal>>,
    /// How long to wait before the first TERM is forwarded.
    pub term_delay: Duration,
    /// The application's exit status → premain's.
    pub remap_exit: BTreeMap<u8, u8>,
    /// The signal that the kernel sends to this process when its parent dies.
    pub pdeathsig: Option<Signal>,
}

/// Where signals are forwarded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalTarget {
    /// Only the application.
    Child,
    /// The application's process group.
    Group,
}

/// A signal that arrives, and the signal that is forwarded instead; `None` drops it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewrite(pub Signal, pub Option<Signal>);

impl Rewrite {
    /// `FROM:TO`; TO 0 drops it.
    ///
    /// # Errors
    /// What a pair looks like.
    pub fn parse(text: &str) -> Result<Rewrite, Allowed> {
        let allowed = |why| format!("FROM:TO, two signals, TO 0 to drop it ({why})");
        let (from, to) = text.split_once(':').ok_or_else(|| allowed("no colon"))?;
        let from = Signal::parse(from).map_err(|_| allowed("FROM is not a signal"))?;
        let to = match to {
            "0" => None,
            to => Some(Signal::parse(to).map_err(|_| allowed("TO is not a signal"))?),
        };
        Ok(Rewrite(from, to))
    }
}

/// An exit status of the application, and the one that premain exits with instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remap(pub u8, pub u8);

impl Remap {
    /// `FROM:TO`
    ///
    /// # Errors
    /// What a pair looks like.
    pub fn parse(text: &str) -> Result<Remap, Allowed> {
        text.split_once(':')
            .and_then(|(from, to)| Some(Remap(from.parse().ok()?, to.parse().ok()?)))
            .ok_or_else(|| "FROM:TO, two exit statuses from 0 to 255, for example 143:0".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_parsed() {
        let hup = Signal::from_number(1).unwrap();
        let quit = Signal::from_number(3);
        assert_eq!(Rewrite::parse("TERM:QUIT"), Ok(Rewrite(Signal::TERM, quit)));
        assert_eq!(Rewrite::parse("HUP:0"), Ok(Rewrite(hup, None)));
        assert!(Rewrite::parse("TERM").unwrap_err().contains("no colon"));
        assert!(Rewrite::parse("TERM:NOPE").unwrap_err().contains("TO is not a signal"));
        assert_eq!(Remap::parse("143:0"), Ok(Remap(143, 0)));
        assert!(Remap::parse("143:300").is_err());
    }
}
