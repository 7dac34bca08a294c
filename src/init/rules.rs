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

/// Parses `FROM:TO` as two signals; TO 0 drops the signal.
///
/// # Errors
/// The allowed form, and what is wrong.
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

/// Parses `FROM:TO` as two exit statuses.
///
/// # Errors
/// The allowed form.
pub fn remap(text: &str) -> Result<(u8, u8), Allowed> {
    text.split_once(':')
        .and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)))
        .ok_or_else(|| "FROM:TO, two exit statuses from 0 to 255, such as 143:0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_parsed() {
        assert_eq!(rewrite("TERM:QUIT"), Ok((Signal::TERM, Signal::from_number(3))));
        assert_eq!(rewrite("HUP:0"), Ok((Signal::from_number(1).unwrap(), None)));
        assert!(rewrite("TERM").unwrap_err().contains("no colon"));
        assert!(rewrite("TERM:NOPE").unwrap_err().contains("'NOPE'"));
        assert_eq!(remap("143:0"), Ok((143, 0)));
        assert!(remap("143:300").is_err());
    }
}
