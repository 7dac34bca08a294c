//! Why migrating stopped.

use std::fmt;
use std::time::Duration;

use super::adoption::Inhabited;
use super::apart::Halfway;
use super::apply::Failure;
use super::diagnose::Diagnosis;
use super::ledger::Malformed;
use super::plan::Drift;
use super::source::SourceError;
use super::validate::Finding;
use crate::database::QueryError;
use crate::exit::Exit;
use crate::text;

/// Why migrating stopped. [`fmt::Display`] says what, where, why and what to do; the first line
/// alone tells the story to `grep migration`.
#[derive(Debug)]
pub enum Error {
    /// The migrations themselves cannot be told.
    Source(SourceError),
    /// The history table is not what it should be.
    Ledger(Malformed),
    /// Folder and history table disagree; never empty.
    Drift(Vec<Drift>),
    /// There are tables, and no history of them.
    Inhabited(Inhabited),
    /// No migration here is called that.
    NoSuchMigration {
        /// What was asked for.
        wanted: String,
        /// Where it is not.
        source: String,
    },
    /// `premain resolve` was asked for what cannot be.
    Unresolvable {
        /// `3 add_orders`
        migration: String,
        /// How it stands.
        why: &'static str,
    },
    /// Something in the migrations can never run; never empty.
    NeverRuns(Vec<Finding>),
    /// These migrations cannot be rolled back.
    NoWayDown {
        /// The migrations.
        migrations: Vec<String>,
        /// Whether they have a file here at all.
        file: bool,
    },
    /// Somebody else changed the history table in between.
    Overtaken,
    /// The way down of a migration failed.
    NotUndone {
        /// `3 add_orders`
        migration: String,
        /// Why.
        failure: Failure,
    },
    /// Another session kept the advisory lock.
    Locked {
        /// Who.
        holder: String,
        /// How long we waited.
        waited: Duration,
    },
    /// A pooler keeps no session for us.
    Pooled {
        /// How we know.
        why: String,
        /// Where the connection is configured: `DATABASE_URL`.
        origin: String,
    },
    /// A statement of premain's own failed.
    Refused {
        /// What it was for: `read the history table public.refinery_schema_history`.
        what: String,
        /// What the server said.
        error: QueryError,
    },
    /// One migration failed.
    Failed {
        /// `3 add_orders`
        migration: String,
        /// Why.
        failure: Failure,
        /// The ones that were applied before it, in this run.
        before: Vec<String>,
        /// How many were pending.
        total: usize,
    },
}

impl Error {
    /// For `map_err`: what a statement of premain's own was for.
    pub fn refused(what: impl Into<String>) -> impl FnOnce(QueryError) -> Error {
        move |error| Error::Refused { what: what.into(), error }
    }

    /// Whether another session may go on: the connection broke, or the server went away, and what
    /// was under way is wholly there or not at all.
    pub fn is_lost(&self) -> bool {
        match self {
            Error::Refused { error: QueryError::Lost(_), .. } => true,
            Error::Refused { error: QueryError::Server(error), .. } => {
                ends_the_session(error.code().code())
            }
            Error::Failed { failure, .. } => matches!(failure, Failure::Lost(_)),
            _ => false,
        }
    }

    /// What it is worth.
    pub fn exit(&self) -> Exit {
        match self {
            Error::Source(SourceError::Unreadable { .. }) => Exit::Unreadable,
            Error::Source(
                SourceError::Malformed { .. }
                | SourceError::Duplicate { .. }
                | SourceError::Ambiguous(_)
                | SourceError::Mixed { .. }
                | SourceError::Empty(_)
                | SourceError::NothingEmbedded,
            )
            | Error::Ledger(_)
            | Error::Inhabited(_)
            | Error::NeverRuns(_)
            | Error::NoWayDown { .. }
            | Error::Drift(_) => Exit::Migrations,
            Error::NoSuchMigration { .. } | Error::Unresolvable { .. } => Exit::Usage,
            Error::Locked { .. }
            | Error::Overtaken
            | Error::Refused { error: QueryError::Lost(_), .. } => Exit::TryAgain,
            Error::Pooled { .. } => Exit::Config,
            Error::Refused { error: QueryError::Server(error), .. } => of_code(error.code().code()),
            Error::Failed { failure, .. } | Error::NotUndone { failure, .. } => match failure {
                Failure::Rejected { kept: true, .. } | Failure::Halfway(_) | Failure::Torn(_) => {
                    Exit::Migrations
                }
                Failure::Unreadable { .. } => Exit::Unreadable,
                Failure::Rejected { diagnosis, kept: false } => of_code(&diagnosis.code),
                Failure::Blocked { .. } | Failure::Lost(_) => Exit::TryAgain,
            },
        }
    }
}

/// A missing privilege is the operator's matter; a server that goes down may come back, and may find
/// room by then.
fn of_code(code: &str) -> Exit {
    match code {
        "42501" => Exit::Refused,
        code if ends_the_session(code) || code.starts_with("53") => Exit::TryAgain,
        _ => Exit::Rejected,
    }
}

/// The server goes down, or the connection does.
fn ends_the_session(code: &str) -> bool {
    matches!(code, "57P01" | "57P02" | "57P03") || code.starts_with("08")
}

/// What is to be done where the server refused a statement with this code: not every refusal is the
/// file's fault.
fn remedy(code: &str) -> &'static str {
    let class = code.get(..2).unwrap_or_default();
    match (class, code) {
        (_, "42501") => "grant this role what it lacks, and start again",
        (_, "53100") => "make room on the server's disk, and start again",
        ("53", _) => "give the server what it lacks (its log tells more), and start again",
        (_, "57014") => "find out who or what cancelled it, and start again",
        ("08" | "40" | "57", _) => "start again",
        ("58" | "F0" | "XX", _) => "no file can mend that: see the server's own log",
        _ => "correct the file and deploy it again",
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Source(error) => write!(f, "migrations: {error}"),
            Error::Ledger(error) => write!(f, "migrations: {error}"),
            Error::Inhabited(found) => write!(f, "migrations: {found}"),
            Error::NoSuchMigration { wanted, source } => write!(
                f,
                "no migration of {source} is called '{wanted}'; give its number or its name, as 'premain status' shows them"
            ),
            Error::Unresolvable { migration, why } => {
                write!(f, "migration {migration} cannot be resolved: {why}; nothing was changed")
            }
            Error::NeverRuns(findings) => {
                for finding in findings {
                    writeln!(f, "migration cannot run: {}: {}", finding.at(), finding.what)?;
                }
                f.write_str("no migration was run")
            }
            Error::NoWayDown { migrations, file: true } => write!(
                f,
                "no way down for migration {}: write a down file for each, or restore a backup; nothing was rolled back",
                migrations.join(", ")
            ),
            Error::NoWayDown { migrations, file: false } => write!(
                f,
                "migration {} is applied and newer than every file here; roll back with the image that holds it; \
                 nothing was rolled back",
                migrations.join(", ")
            ),
            Error::Overtaken => f.write_str(
                "migrations: somebody else migrated in between; nothing was rolled back; look again with 'premain status'",
            ),
            Error::NotUndone { migration, failure } => not_undone(f, migration, failure),
            Error::Drift(list) => {
                let lines: Vec<_> = list.iter().map(ToString::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
            Error::Locked { holder, waited } => write!(
                f,
                "the migration lock was not free within {}: it is held by {holder}; \
                 wait for it, or end that session with pg_terminate_backend",
                text::duration(*waited)
            ),
            Error::Pooled { why, origin } => write!(
                f,
                "migrations: {origin} leads to a connection pooler that keeps no session for us: {why}\n\
                 the migration lock would be lost in its pool, so no migration was applied; name a direct \
                 connection in MIGRATION_DATABASE_URL (or DIRECT_URL), which premain prefers for migrations, \
                 or a pool in session mode"
            ),
            Error::Refused { what, error: QueryError::Lost(reason) } => write!(
                f,
                "migrations: cannot {what}: the connection was lost ({reason}); run again, which is safe"
            ),
            Error::Refused { what, error } => {
                let remedy = match self.exit() {
                    Exit::Refused => "; grant this role what it lacks",
                    _ => "",
                };
                write!(f, "migrations: cannot {what}: {error}{remedy}")
            }
            Error::Failed { migration, failure, before, total } => {
                failed(f, migration, failure)?;
                let applied = match before.len() {
                    0 => "no migration was applied before it".to_owned(),
                    n => format!(
                        "{n} of {total} migrations were applied before it: {}",
                        before.join(", ")
                    ),
                };
                write!(f, "\n{applied}")
            }
        }
    }
}

fn failed(f: &mut fmt::Formatter<'_>, migration: &str, failure: &Failure) -> fmt::Result {
    match failure {
        Failure::Rejected { diagnosis, kept } => {
            rejected(f, migration, diagnosis)?;
            match kept {
                false if wants_no_transaction(&diagnosis.code) => write!(
                    f,
                    "nothing of migration {migration} was kept; if it must run without a transaction, say so in the \
                     first line of its file: -- premain: no-transaction"
                ),
                false => {
                    let remedy = remedy(&diagnosis.code);
                    write!(f, "nothing of migration {migration} was kept; {remedy}")
                }
                true => write!(
                    f,
                    "migration {migration} ends its transaction itself: what stands before that was kept, \
                     the migration is not recorded; undo what was kept, correct the file and deploy it again"
                ),
            }
        }
        Failure::Blocked { reason, attempts, behind } => write!(
            f,
            "migration {migration} could not get its table locks in {attempts} attempts{behind}: {reason}\n\
             nothing of it was kept; end the long transaction that is in the way (pg_terminate_backend), or raise --ddl-lock-timeout"
        ),
        Failure::Torn(reason) => write!(
            f,
            "migration {migration} was interrupted, the connection was lost ({reason})\n\
             it ends its transaction itself: what stands before that may have been kept, and it may be recorded \
             or not ('premain status'); undo what was kept, or complete it, before you run again"
        ),
        Failure::Halfway(halfway) => {
            match &halfway.failure {
                Failure::Rejected { diagnosis, .. } => rejected(f, migration, diagnosis)?,
                Failure::Blocked { reason, attempts, behind } => writeln!(
                    f,
                    "migration {migration} could not get its table locks in {attempts} attempts{behind}: {reason}"
                )?,
                Failure::Lost(reason) | Failure::Torn(reason) => writeln!(
                    f,
                    "migration {migration} was interrupted, the connection was lost ({reason})"
                )?,
                Failure::Unreadable { file, error } => {
                    writeln!(f, "migration {migration}: {}: {error}", file.display())?;
                }
                Failure::Halfway(_) => {}
            }
            halfway.explain(f, migration)
        }
        Failure::Unreadable { file, error } => write!(
            f,
            "migration {migration}: {}: {error}\nnothing of it was kept; run again",
            file.display()
        ),
        Failure::Lost(reason) => write!(
            f,
            "migration {migration} was interrupted, the connection was lost ({reason})\n\
             whether it was applied stands in the history table; run again, which is safe"
        ),
    }
}

fn not_undone(f: &mut fmt::Formatter<'_>, migration: &str, failure: &Failure) -> fmt::Result {
    match failure {
        Failure::Rejected { diagnosis, kept } => {
            writeln!(
                f,
                "migration {migration} was not rolled back, its way down failed at {}: {}\n{diagnosis}",
                diagnosis.place, diagnosis.message
            )?;
            match kept {
                false => {
                    let remedy = remedy(&diagnosis.code);
                    write!(f, "nothing of migration {migration} was undone; {remedy}")
                }
                true => write!(
                    f,
                    "the file ends its transaction itself: what stands before that is undone, \
                     and the migration counts as applied; see what is left of it"
                ),
            }
        }
        Failure::Blocked { reason, attempts, behind } => write!(
            f,
            "migration {migration} was not rolled back, it could not get its table locks in {attempts} attempts{behind}: {reason}\n\
             end the long transaction that is in the way, or raise --ddl-lock-timeout"
        ),
        Failure::Halfway(halfway) => {
            let Halfway { failure, kept, total, last, .. } = &**halfway;
            not_undone(f, migration, failure)?;
            write!(
                f,
                "\nits way down runs without a transaction: {kept} of its {total} statements were done"
            )?;
            for statement in last {
                write!(f, "\n  done: statement {statement}")?;
            }
            write!(
                f,
                "\nmigration {migration} still counts as applied; do the rest by hand, or restore what is gone"
            )
        }
        Failure::Unreadable { file, error } => {
            write!(f, "migration {migration} was not rolled back: {}: {error}", file.display())
        }
        Failure::Lost(reason) | Failure::Torn(reason) => write!(
            f,
            "rolling back migration {migration} was interrupted, the connection was lost ({reason})\n\
             whether it is still applied stands in the history table: see 'premain status'"
        ),
    }
}

fn rejected(f: &mut fmt::Formatter<'_>, migration: &str, diagnosis: &Diagnosis) -> fmt::Result {
    writeln!(
        f,
        "migration {migration} failed at {}: {}\n{diagnosis}",
        diagnosis.place, diagnosis.message
    )
}

/// `active_sql_transaction` and `invalid_transaction_termination`: a procedure that commits, most
/// likely, or what only the server can tell.
fn wants_no_transaction(code: &str) -> bool {
    matches!(code, "25001" | "2D000")
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        Error::Source(error)
    }
}

impl From<Malformed> for Error {
    fn from(error: Malformed) -> Self {
        Error::Ledger(error)
    }
}
