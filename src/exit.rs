//! The exit codes of premain. Once the application ran, premain exits with its status.

#![forbid(unsafe_code)]

/// How premain ends.
///
/// The numbers are those of `sysexits.h` and, for 126 and 127, of every shell, so that an
/// orchestrator can decide by the number alone whether a retry can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, or the application succeeded.
    Success,
    /// 1: `status --exit-code`: something is pending.
    Pending,
    /// 2: `status --exit-code`: a migration failed halfway.
    Halfway,
    /// 1: `health`: the application runs, and it or its database does not answer.
    Unhealthy,
    /// 3: `health`: the application has not started yet.
    Booting,
    /// 4: `health`: migrations are being applied.
    Migrating,
    /// 64: wrong usage: an unknown option, a malformed value, no command.
    Usage,
    /// 65: bad migrations: a malformed directory, drift, a migration that failed halfway.
    Migrations,
    /// 66: the migrations directory or a file in it cannot be read.
    Unreadable,
    /// 69: the database, or another target, did not become ready in time.
    NotReady,
    /// 70: a bug in premain.
    Bug,
    /// 71: a system call failed.
    System,
    /// 74: a hook failed.
    Hook,
    /// 75: the lock was not free in time, DDL stayed blocked, the connection was lost, or
    /// the server lacked room.
    TryAgain,
    /// 76: the server rejected a migration.
    Rejected,
    /// 77: the server rejects the login, the database or a privilege (28xxx, 3D000, 42501).
    Refused,
    /// 78: the configuration cannot work: environment, URL, TLS, user, pooler.
    Config,
    /// 126: the application was found but cannot be executed.
    CannotExecute,
    /// 127: the application was not found.
    NotFound,
    /// 128 + n: stopped by signal n before the application ran.
    Stopped(i32),
    /// The application's own status; 128 + n when signal n killed it.
    Application(u8),
}

impl Exit {
    /// The exit status, as the parent process sees it.
    pub fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Pending | Exit::Unhealthy => 1,
            Exit::Halfway => 2,
            Exit::Booting => 3,
            Exit::Migrating => 4,
            Exit::Usage => 64,
            Exit::Migrations => 65,
            Exit::Unreadable => 66,
            Exit::NotReady => 69,
            Exit::Bug => 70,
            Exit::System => 71,
            Exit::Hook => 74,
            Exit::TryAgain => 75,
            Exit::Rejected => 76,
            Exit::Refused => 77,
            Exit::Config => 78,
            Exit::CannotExecute => 126,
            Exit::NotFound => 127,
            Exit::Stopped(signal) => 128_u8.saturating_add(u8::try_from(signal).unwrap_or(127)),
            Exit::Application(status) => status,
        }
    }
}
