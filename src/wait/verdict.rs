//! Decides which errors are transient and which are final: add a new transient error here.

use std::io;

use tokio_postgres::error::DbError;

use super::pace::Pace;
use crate::database::ConnectError;
use crate::exit::Exit;

/// Why an attempt failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// What happened, including the host.
    pub reason: String,
    /// Whether a retry can help.
    pub verdict: Verdict,
    /// What a user can do about it; may be empty.
    pub remedy: &'static str,
}

/// Whether a retry can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It can, at this pace.
    Retry(Pace),
    /// It can for a few seconds, while a new server may still be creating roles and databases, and a
    /// proxy may still have no server; then it is final.
    Grace(Exit),
    /// It cannot.
    Final(Exit),
}

impl Failure {
    /// The attempt did not finish in time.
    pub(super) fn no_answer(reason: impl Into<String>) -> Failure {
        Failure::retry(reason, "is the host right, and does a firewall drop the packets?")
    }

    pub(super) fn retry(reason: impl Into<String>, remedy: &'static str) -> Failure {
        Failure { reason: reason.into(), verdict: Verdict::Retry(Pace::Brisk), remedy }
    }
}

/// Classifies an attempt that failed on every host: the most hopeful error decides.
pub(super) fn of_attempt(errors: &[ConnectError]) -> Failure {
    let finality = |failure: &Failure| match failure.verdict {
        Verdict::Retry(_) => 0,
        Verdict::Grace(_) => 1,
        Verdict::Final(_) => 2,
    };
    let failures: Vec<_> = errors.iter().map(of_connect).collect();
    let mut reasons: Vec<&str> = Vec::new();
    for Failure { reason, .. } in &failures {
        if !reasons.contains(&reason.as_str()) {
            reasons.push(reason);
        }
    }
    let reason = reasons.join(", ");
    match failures.iter().min_by_key(|failure| finality(failure)) {
        Some(best) => Failure { reason, ..*best },
        None => Failure::no_answer("no host to connect to"),
    }
}

/// Classifies the error of one host.
fn of_connect(error: &ConnectError) -> Failure {
    use Pace::{Brisk, Gentle};
    use Verdict::{Final, Retry};
    let (verdict, remedy) = match error {
        ConnectError::Resolve { .. } => {
            (Retry(Brisk), "is the name spelled right, and is this container on the same network?")
        }
        ConnectError::Lookup { .. } => {
            (Retry(Gentle), "raise the limits of processes and memory (pids_limit, mem_limit)")
        }
        ConnectError::Dial { source, .. } => of_dial(source),
        ConnectError::TimedOut { .. } => {
            (Retry(Brisk), "is the host right, and does a firewall drop the packets?")
        }
        ConnectError::Broken { unasked: true, .. } => (
            Retry(Gentle),
            "the server's log says why it closes connections; sslnegotiation=direct needs \
             PostgreSQL 17",
        ),
        ConnectError::Broken { .. } => {
            (Retry(Gentle), "the server's log says why it closes connections")
        }
        ConnectError::Tls { source, .. } if source.is_alert() => {
            (Verdict::Grace(Exit::Config), "the server's log, or a proxy's before it, says why")
        }
        ConnectError::Tls { .. } => (Final(Exit::Config), ""),
        ConnectError::Server { error, .. } => of_server(error),
        ConnectError::Unsuitable { .. } => {
            (Retry(Gentle), "connect to the right server, or wait until this one is promoted")
        }
        ConnectError::Impossible { .. } => {
            (Final(Exit::Config), "correct the variables that name the database")
        }
    };
    Failure { reason: error.to_string(), verdict, remedy }
}

fn of_dial(error: &io::Error) -> (Verdict, &'static str) {
    match error.kind() {
        io::ErrorKind::PermissionDenied => (
            Verdict::Retry(Pace::Brisk),
            "may this user open the socket, and does the firewall allow the connection?",
        ),
        io::ErrorKind::InvalidInput => {
            (Verdict::Final(Exit::Config), "the path of a unix socket has at most 107 bytes")
        }
        _ => (
            Verdict::Retry(Pace::Brisk),
            "is PostgreSQL running there, and are host and port right?",
        ),
    }
}

/// Classifies an error of the server by its SQLSTATE.
fn of_server(error: &DbError) -> (Verdict, &'static str) {
    use Verdict::{Final, Grace, Retry};
    match error.code().code() {
        // starting up, shutting down, in recovery
        "57P03" | "57P01" | "57P02" => (Retry(Pace::Steady), "the server did not finish starting"),
        "53300" => (Retry(Pace::Gentle), "raise max_connections, or open fewer connections"),
        "28P01" | "28000" => (
            Grace(Exit::Refused),
            "are user and password right, and does pg_hba.conf let this user in from here?",
        ),
        "3D000" => (Grace(Exit::Refused), "create the database, or correct its name"),
        "42501" => {
            (Grace(Exit::Refused), "grant the role the missing privilege (CONNECT on the database)")
        }
        // PgBouncer, in every version
        "08P01" if error.message().contains("unsupported startup parameter") => (
            Final(Exit::Config),
            "the pooler does not support the options or schema of the URL: \
             set MIGRATION_DATABASE_URL (or DIRECT_URL) to a direct connection",
        ),
        code if code.starts_with("08") => {
            (Retry(Pace::Gentle), "a pooler or proxy lost its connection to the server")
        }
        // out of memory, disk full, other limits: it may pass
        code if code.starts_with("53") => {
            (Retry(Pace::Gentle), "the server lacks memory, disk space or another resource")
        }
        // A setting that the URL's options have: unknown, invalid, or not for a session to set.
        "42704" | "22023" | "42601" | "55P02" | "0A000" => {
            (Final(Exit::Config), "the server does not accept this login as it is configured")
        }
        _ => (Grace(Exit::Config), "the server's log says why it does not accept this login"),
    }
}
