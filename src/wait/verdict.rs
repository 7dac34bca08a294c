//! What is transient and what is final: add a new transient error here.

use std::io;

use tokio_postgres::error::DbError;

use super::pace::Pace;
use crate::database::ConnectError;
use crate::exit::Exit;

/// One attempt's "no".
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What happened, with the host.
    pub reason: String,
    /// Whether another attempt can help.
    pub verdict: Verdict,
    /// What a person can do about it; may be empty.
    pub remedy: &'static str,
}

/// Whether another attempt can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Retry(Pace),
    /// For a few seconds, while a fresh server may still be creating roles and databases.
    Grace(Exit),
    /// No.
    Final(Exit),
}

impl Refusal {
    /// Nothing was heard at all.
    pub(super) fn silence(reason: impl Into<String>) -> Refusal {
        Refusal::retry(reason, "is the host right, and may packets pass?")
    }

    pub(super) fn retry(reason: impl Into<String>, remedy: &'static str) -> Refusal {
        Refusal { reason: reason.into(), verdict: Verdict::Retry(Pace::Brisk), remedy }
    }
}

/// Judges an attempt that failed at every host: as long as one of them may come to let us in, it can
/// help to ask again.
pub(super) fn of_attempt(errors: &[ConnectError]) -> Refusal {
    let hope = |refusal: &Refusal| match refusal.verdict {
        Verdict::Retry(_) => 0,
        Verdict::Grace(_) => 1,
        Verdict::Final(_) => 2,
    };
    let refusals: Vec<_> = errors.iter().map(of_connect).collect();
    let mut reasons: Vec<&str> = Vec::new();
    for Refusal { reason, .. } in &refusals {
        if !reasons.contains(&reason.as_str()) {
            reasons.push(reason);
        }
    }
    let reason = reasons.join(", ");
    match refusals.iter().min_by_key(|refusal| hope(refusal)) {
        Some(best) => Refusal { reason, ..*best },
        None => Refusal::silence("no host to ask"),
    }
}

/// Judges what one host said.
fn of_connect(error: &ConnectError) -> Refusal {
    use Pace::{Brisk, Gentle};
    use Verdict::{Final, Retry};
    let (verdict, remedy) = match error {
        ConnectError::Resolve { .. } => {
            (Retry(Brisk), "is the name spelled right, and is this container on the same network?")
        }
        ConnectError::Dial { source, .. } => of_dial(source),
        ConnectError::TimedOut { .. } => {
            (Retry(Brisk), "is the host right, and does a firewall stand in between?")
        }
        ConnectError::Broken { unasked: true, .. } => (
            Retry(Gentle),
            "the server's own log says why it closes connections; before version 17 none knows \
             sslnegotiation=direct",
        ),
        ConnectError::Broken { .. } => {
            (Retry(Gentle), "the server's own log says why it closes connections")
        }
        ConnectError::Tls { .. } => (Final(Exit::Config), ""),
        ConnectError::Server { error, .. } => of_server(error),
        ConnectError::Unsuitable { .. } => {
            (Retry(Gentle), "name the right server, or wait for its promotion")
        }
        ConnectError::Impossible { .. } => {
            (Final(Exit::Config), "correct the variables that name the database")
        }
    };
    Refusal { reason: error.to_string(), verdict, remedy }
}

fn of_dial(error: &io::Error) -> (Verdict, &'static str) {
    match error.kind() {
        io::ErrorKind::PermissionDenied => (
            Verdict::Retry(Pace::Brisk),
            "may this user reach the socket, and does the firewall let it through?",
        ),
        io::ErrorKind::InvalidInput => {
            (Verdict::Final(Exit::Config), "the path of a unix socket has 107 bytes at the most")
        }
        _ => (
            Verdict::Retry(Pace::Brisk),
            "is PostgreSQL running there, and are host and port right?",
        ),
    }
}

/// Judges what the server itself said, by its SQLSTATE.
fn of_server(error: &DbError) -> (Verdict, &'static str) {
    use Verdict::{Final, Grace, Retry};
    match error.code().code() {
        // starting up, shutting down, in recovery
        "57P03" | "57P01" | "57P02" => (Retry(Pace::Steady), "the server did not finish starting"),
        "53300" => (Retry(Pace::Gentle), "raise max_connections, or use fewer connections"),
        "28P01" | "28000" => (
            Grace(Exit::Refused),
            "are user and password right, and does pg_hba.conf let this user in from here?",
        ),
        "3D000" => (Grace(Exit::Refused), "create the database, or correct its name"),
        "42501" => (Final(Exit::Refused), "grant the role what it lacks (CONNECT on the database)"),
        // PgBouncer's, in every version
        "08P01" if error.message().contains("unsupported startup parameter") => (
            Final(Exit::Config),
            "a pooler does not take the URL's options or schema: \
             name a direct connection in MIGRATION_DATABASE_URL (or DIRECT_URL)",
        ),
        code if code.starts_with("08") => {
            (Retry(Pace::Gentle), "a pooler or proxy lost its server")
        }
        // out of memory, disk full, other limits: an operator's matter, and it may pass
        code if code.starts_with("53") => (Retry(Pace::Gentle), "the server is short of resources"),
        _ => (Final(Exit::Config), "the server will not take this login as it is configured"),
    }
}
