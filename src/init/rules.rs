//! What PID 1 was told to do with signals and exit statuses.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::signal::Signal;
use crate::value::Allowed;

/// What PID 1 does with signals and endings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// No init: boot in place.
    pub exec: bool,
    /// From the first TERM or INT to KILL; `None` for never.
    pub grace: Option<Duration>,
    /// Whom signals are forwarded to.
    pub signal_target: SignalTarget,
    /// Signal that arrives → signal that is forwarded, `None` to drop it.
    pub rewrite: BTreeMap<Signal, Option<Signal>>,
    /// Before the first TERM is forwarded.
    pub term_delay: Duration,
    /// The application's status → ours.
    pub remap_exit: BTreeMap<u8, u8>,
    /// What this process gets when its parent dies.
    pub pdeathsig: Option<Signal>,
}

/// Whom signals are forwarded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalTarget {
    /// The application alone.
    Child,
    /// The application's process group.
    Group,
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
    fn pairs() {
        assert_eq!(rewrite("TERM:QUIT"), Ok((Signal::TERM, Signal::from_number(3))));
        assert_eq!(rewrite("HUP:0"), Ok((Signal::from_number(1).unwrap(), None)));
        assert!(rewrite("TERM").unwrap_err().contains("no colon"));
        assert!(rewrite("TERM:NOPE").unwrap_err().contains("'NOPE'"));
        assert_eq!(remap("143:0"), Ok((143, 0)));
        assert!(remap("143:300").is_err());
    }
}
