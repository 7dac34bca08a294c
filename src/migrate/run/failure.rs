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
    /// It ends its transaction itself: what comes before that was kept, or may have been kept if the connection was lost.
    Part,
    /// It runs without a transaction, and these statements were kept.
    Statements(Halfway),
}

/// The statements that were kept of a migration without a transaction.
#[derive(Debug)]
pub(crate) struct Halfway {
    /// How many statements were kept.
    pub(crate) kept: usize,
    /// The last of them, rendered: `1 (line 3): CREATE INDEX CONCURRENTLY …`
    pub(crate) last: Vec<String>,
    /// How many statements the migration has.
    pub(crate) total: usize,
    /// Whether the history table marks the migration as started.
    pub(crate) marked: bool,
    /// The VERSION for `premain resolve`.
    pub(crate) version: String,
}

impl Failure {
    /// Nothing of the migration was kept.
    pub(super) fn nothing_kept(reason: Reason) -> Failure {
        Failure { reason, kept: Kept::AllOrNothing }
    }

    /// Whether another session may continue: the connection broke, or the migration lock was released, and the migration is
    /// in the database with its record or not at all.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.reason, Reason::Lost(_) | Reason::Unlocked)
            && matches!(self.kept, Kept::AllOrNothing)
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
            (Kept::Part, Reason::Lost(_)) => f.write_str(
                "it ends its transaction itself: what comes before that may have been kept, and it may be recorded \
                 or not ('premain status'); undo what was kept, or complete it, before you run again",
            ),
            (Kept::Part, _) => write!(
                f,
                "migration {migration} ends its transaction itself: what comes before that was kept, \
                 the migration is not recorded; undo what was kept, correct the file and deploy it again"
            ),
            (Kept::Statements(halfway), _) => halfway.explain_up(f, migration),
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
            (Kept::AllOrNothing | Kept::Part, Reason::Lost(_)) => {
                f.write_str("the history table shows whether it is still applied: see 'premain status'")
            }
            (Kept::AllOrNothing, Reason::Unreadable { .. } | Reason::Unlocked) => {
                f.write_str("nothing was rolled back; run again")
            }
            (Kept::Part, _) => f.write_str(
                "the file ends its transaction itself: what comes before that is rolled back, \
                 and the migration counts as applied; check what is left of it",
            ),
            (Kept::Statements(halfway), _) => halfway.explain_down(f, migration),
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

    /// The text that the history table keeps.
    pub(super) fn for_history_table(&self) -> String {
        match self {
            Reason::Rejected(diagnosis) => {
                format!("{}: {}\n{diagnosis}", diagnosis.place, diagnosis.message)
            }
            Reason::Blocked { message: reason, .. } | Reason::Lost(reason) => reason.clone(),
            Reason::Unlocked => "it released the migration lock".to_owned(),
            Reason::Unreadable { error, .. } => error.to_string(),
        }
    }
}

impl Halfway {
    fn explain_up(&self, f: &mut fmt::Formatter<'_>, migration: &str) -> fmt::Result {
        let Halfway { kept, last, total, marked, version } = self;
        writeln!(
            f,
            "migration {migration} runs without a transaction: {kept} of its {total} statements were kept"
        )?;
        if last.len() < *kept {
            writeln!(f, "  kept: statements 1 to {}", kept - last.len())?;
        }
        for statement in last {
            writeln!(f, "  kept: statement {statement}")?;
        }
        match marked {
            true => write!(
                f,
                "either undo what was kept, correct the file, and run 'premain resolve --rolled-back {version}' to \
                 apply it again; or do the rest by hand and run 'premain resolve --applied {version}'"
            ),
            false => write!(
                f,
                "the history table cannot record that, and the next start begins with statement 1 again: undo what was \
                 kept and correct the file; or do the rest by hand and run 'premain resolve --applied {version}'"
            ),
        }
    }

    fn explain_down(&self, f: &mut fmt::Formatter<'_>, migration: &str) -> fmt::Result {
        let Halfway { kept, last, total, .. } = self;
        write!(
            f,
            "its down migration runs without a transaction: {kept} of its {total} statements were kept"
        )?;
        for statement in last {
            write!(f, "\n  kept: statement {statement}")?;
        }
        write!(
            f,
            "\nmigration {migration} still counts as applied; do the rest by hand, or restore what was removed"
        )
    }
}
