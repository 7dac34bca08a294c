//! What to do when the server rejects a statement: not every rejection is the file's fault.

use crate::exit::Exit;

/// The next step for a person, for this SQLSTATE.
pub(super) fn remedy(code: &str) -> &'static str {
    let class = code.get(..2).unwrap_or_default();
    match (class, code) {
        (_, "") => "remove or disable the trigger or rule, and start again",
        (_, "42501") => "grant this role what it lacks, and start again",
        (_, "53100") => "make room on the server's disk, and start again",
        ("53", _) => "give the server what it lacks (see its log), and start again",
        (_, "57014") => "find out who or what cancelled it, and start again",
        ("08" | "40" | "57", _) => "start again",
        ("58" | "F0" | "XX", _) => "no change to the file can help: see the server's own log",
        _ => "correct the file and deploy it again",
    }
}

/// The exit status for this SQLSTATE: an orchestrator retries if the server may recover.
pub(crate) fn exit(code: &str) -> Exit {
    match code {
        "42501" => Exit::Refused,
        code if ends_the_session(code) || code.starts_with("53") => Exit::TryAgain,
        _ => Exit::Rejected,
    }
}

/// Whether the server shuts down, or ends the session: a timeout of the role's may do that.
pub(crate) fn ends_the_session(code: &str) -> bool {
    matches!(code, "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "25P04")
        || code.starts_with("08")
}

/// `active_sql_transaction` and `invalid_transaction_termination`: most likely a procedure that commits, which cannot be seen
/// in the file.
pub(super) fn wants_no_transaction(code: &str) -> bool {
    matches!(code, "25001" | "2D000")
}
