//! Why a migration failed, and what of it was kept.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::diagnosis::Diagnosis;
use super::remedy::{remedy, wants_no_transaction};

/// Why a migration failed, and what of it was kept.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Why.
    pub(crate) reason: Reason,
    /// What of it was kept.
    pub(crate) kept: Kept,
}

/// Why a migration failed.
#[derive(Debug)]
pub(crate) enum Reason {
    /// The server rejected it.
    Rejected(Box<Diagnosis>),
    /// Other sessions were in its way.
    Blocked {
        /// `could not get its table locks`
        how: &'static str,
        /// The server's last message.
        message: String,
        /// How many attempts there were.
        attempts: u32,
        /// The sessions that blocked it: `, blocked by pid 12 (…)`; empty if unknown.
        blockers: String,
    },
    /// The connection broke, for this reason.
    Lost(String),
    /// It released the migration lock, and another session may have migrated since.
    Unlocked,
    /// Its file can no longer be read, or was changed meanwhile.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
}

/// What was kept of a migration that failed.
#[derive(Debug)]
pub(crate) enum Kept {
    /// It was one transaction: nothing was kept; but if the connection was lost, all of it may be committed with its record.
    AllOrNothing,
    /// Its one statement, which is not recorded, and may run again.
    Repeatable,
    /// A part of it, or all of it; it is marked.
    Halfway(Halfway),
}

/// What was kept of a migration that is not one transaction.
#[derive(Debug)]
pub(crate) struct Halfway {
    pub(crate) migration: String,
    /// What was kept, over several lines: `runs without a transaction: 1 of its 2 statements were kept …`
    pub(crate) what: String,
    /// The VERSION for `premain resolve`.
    pub(crate) version: String,
}

impl Failure {
    /// Nothing of the migration was kept.
    pub(super) fn nothing_kept(reason: Reason) -> Failure {
        Failure { reason, kept: Kept::AllOrNothing }
    }

    /// Whether another session may continue: the connection broke, or the migration lock was released, and the migration is
    /// in the database with its record or not at all, or it is marked.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.reason, Reason::Lost(_) | Reason::Unlocked)
            && !matches!(self.kept, Kept::Halfway(_))
    }

    /// Writes why the up migration `migration` failed, what was kept, and what to do.
    pub(crate) fn explain_up(&self, f: &mut fmt::Formatter<'_>, migration: &str) -> fmt::Result {
        self.reason.explain(f, migration, "")?;
        match (&self.kept, &self.reason) {
            (Kept::AllOrNothing, Reason::Rejected(diagnosis))
                if wants_no_transaction(&diagnosis.code) =>
            {
                write!(
                    f,
                    "nothing of migration {migration} was kept; if it must run without a transaction, say so in the \
                     first line of its file: -- premain: no-transaction"
                )
            }
            (Kept::AllOrNothing, Reason::Rejected(diagnosis)) => {
                let remedy = remedy(&diagnosis.code);
                write!(f, "nothing of migration {migration} was kept; {remedy}")
            }
            (Kept::AllOrNothing, Reason::Blocked { .. }) => f.write_str(
                "nothing of it was kept; end the transaction that blocks it (pg_terminate_backend), or \
                 raise --ddl-lock-timeout or --ddl-retries",
            ),
            (Kept::AllOrNothing, Reason::Unlocked) => {
                f.write_str("nothing of it was kept; remove pg_advisory_unlock_all() from what it calls")
            }
            (Kept::AllOrNothing, Reason::Lost(_)) => f.write_str(
                "the history table shows whether it was applied; run again, which is safe",
            ),
            (Kept::AllOrNothing, Reason::Unreadable { .. }) => {
                f.write_str("nothing of it was kept; run again")
            }
            (Kept::Repeatable, _) => f.write_str(
                "its statement was executed, but not recorded; the next start runs it again, which is safe",
            ),
            (Kept::Halfway(Halfway { migration, what, version }), _) => write!(
                f,
                "migration {migration} {what}\n\
                 either undo what was kept, correct the file, and run 'premain resolve --rolled-back {version}' to \
                 apply it again; or do the rest by hand and run 'premain resolve --applied {version}'"
            ),
        }
    }

    /// Writes why the down migration of `migration` failed, what was kept, and what to do.
    pub(crate) fn explain_down(&self, f: &mut fmt::Formatter<'_>, migration: &str) -> fmt::Result {
        self.reason.explain(f, migration, "down ")?;
        match (&self.kept, &self.reason) {
            (Kept::AllOrNothing, Reason::Rejected(diagnosis)) => {
                let remedy = remedy(&diagnosis.code);
                write!(f, "nothing of migration {migration} was rolled back; {remedy}")
            }
            (Kept::AllOrNothing, Reason::Blocked { .. }) => f.write_str(
                "nothing was rolled back; end the transaction that blocks it, or raise --ddl-lock-timeout",
            ),
            (Kept::AllOrNothing, Reason::Lost(_)) => {
                f.write_str("the history table shows whether it is still applied: see 'premain status'")
            }
            (Kept::AllOrNothing, Reason::Unreadable { .. } | Reason::Unlocked) => {
                f.write_str("nothing was rolled back; run again")
            }
            (Kept::Repeatable, _) => f.write_str(
                "its statement was executed, but the migration is still recorded; roll it back again, which is safe",
            ),
            (Kept::Halfway(Halfway { migration, what, version }), _) => write!(
                f,
                "the down migration of {migration} {what}\n\
                 either do the rest by hand and run 'premain resolve --rolled-back {version}'; or restore what was \
                 removed, correct the file, run 'premain resolve --applied {version}' and roll it back again"
            ),
        }
    }
}

impl Reason {
    /// Writes the first line, which `grep migration` finds, and the excerpt of the file below it.
    fn explain(&self, f: &mut fmt::Formatter<'_>, migration: &str, direction: &str) -> fmt::Result {
        match self {
            Reason::Rejected(diagnosis) => writeln!(
                f,
                "{direction}migration {migration} failed at {}: {}\n{diagnosis}",
                diagnosis.place, diagnosis.message
            ),
            Reason::Blocked { how, message, attempts, blockers } => writeln!(
                f,
                "{direction}migration {migration} {how} in {attempts} attempts{blockers}: {message}"
            ),
            Reason::Lost(reason) => writeln!(
                f,
                "{direction}migration {migration} was interrupted, the connection was lost ({reason})"
            ),
            Reason::Unlocked => {
                writeln!(f, "{direction}migration {migration} released the migration lock")
            }
            Reason::Unreadable { file, error } => {
                writeln!(f, "{direction}migration {migration}: {}: {error}", file.display())
            }
        }
    }

    /// In one line: what failed where, or why.
    pub(super) fn in_one_line(&self) -> String {
        match self {
            Reason::Rejected(diagnosis) => format!("{}: {}", diagnosis.place, diagnosis.message),
            Reason::Blocked { message: reason, .. } | Reason::Lost(reason) => reason.clone(),
            Reason::Unlocked => "it released the migration lock".to_owned(),
            Reason::Unreadable { file, error } => format!("{}: {error}", file.display()),
        }
    }
}
