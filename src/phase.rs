//! Publishes the phase of a start as the name of the process, for `premain health`.
//!
//! Every user can read the name in `/proc/PID/comm`. It needs no file or socket and no cleaning up:
//! the application's `execve` replaces it.

#![forbid(unsafe_code)]

use std::ffi::CStr;

/// The process name of the init.
pub(crate) const INIT: &CStr = c"premain:init";

/// What the boot is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Before and after the other two: reading the migrations directory, running hooks.
    Starting,
    /// Waiting for the database or another target.
    Waiting,
    /// Comparing and applying migrations.
    Migrating,
}

impl Phase {
    const ALL: [Phase; 3] = [Phase::Starting, Phase::Waiting, Phase::Migrating];

    /// Names this process after the phase.
    pub(crate) fn publish(self) {
        set_process_name(self.name());
    }

    /// The phase that a process of this name is in; `None` if the name is not one of a boot.
    pub(crate) fn from_process_name(name: &[u8]) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.name().to_bytes() == name)
    }

    /// At most 15 bytes: the kernel cuts what is longer.
    fn name(self) -> &'static CStr {
        match self {
            Phase::Starting => c"premain:start",
            Phase::Waiting => c"premain:wait",
            Phase::Migrating => c"premain:migrate",
        }
    }
}

/// Names this process, for example [`INIT`].
pub(crate) fn set_process_name(name: &CStr) {
    // It cannot fail with a valid pointer.
    let _ = nix::sys::prctl::set_name(name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_keeps_every_name() {
        for phase in Phase::ALL {
            assert!(phase.name().to_bytes().len() <= 15, "{phase:?}");
            assert_eq!(Phase::from_process_name(phase.name().to_bytes()), Some(phase));
        }
        assert_eq!(Phase::from_process_name(INIT.to_bytes()), None);
    }
}
