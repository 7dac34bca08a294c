//! How far a start has come, told to everybody who may look: as the name of the process.
//!
//! A name is in `/proc/PID/comm`, which every user may read. It takes no disk, no socket and no
//! cleaning up: the application's `execve` replaces it by its own.

#![forbid(unsafe_code)]

use std::ffi::CStr;

/// What the init is called.
pub const INIT: &CStr = c"premain:init";

/// How far the boot has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Before and after the others: hooks run, the folder is read.
    Starting,
    /// The database, or another target, is not ready yet.
    Waiting,
    /// Migrations are looked at and applied.
    Migrating,
}

impl Phase {
    const ALL: [Phase; 3] = [Phase::Starting, Phase::Waiting, Phase::Migrating];

    /// Calls this process so.
    pub fn publish(self) {
        call(self.name());
    }

    /// The phase of a process of this name.
    pub fn of(name: &[u8]) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.name().to_bytes() == name)
    }

    /// Fifteen bytes at the most: the kernel keeps no more.
    fn name(self) -> &'static CStr {
        match self {
            Phase::Starting => c"premain:start",
            Phase::Waiting => c"premain:wait",
            Phase::Migrating => c"premain:migrate",
        }
    }
}

/// Calls this process the init.
pub fn publish_init() {
    call(INIT);
}

fn call(name: &CStr) {
    // It cannot fail; and what would a start stop for, if it could?
    let _ = nix::sys::prctl::set_name(name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_keeps_every_name_whole() {
        for phase in Phase::ALL {
            assert!(phase.name().to_bytes().len() <= 15, "{phase:?}");
            assert_eq!(Phase::of(phase.name().to_bytes()), Some(phase));
        }
        assert_eq!(Phase::of(INIT.to_bytes()), None);
    }
}
