//! Why migrating stopped.

use std::fmt;
use std::time::Duration;

use super::drift::Drift;
use super::finding::Finding;
use super::history::Malformed;
use super::run::failure::{Failure, Kept, Reason};
use super::run::remedy;
use super::source::error::SourceError;
use super::sql::checked::not_written;
use super::unmanaged::Unmanaged;
use crate::database::QueryError;
use crate::exit::Exit;
use crate::text;

/// Why migrating stopped. Its text says what failed and where, why, and what to do next; the first line contains the
/// word `migration`, so that `grep migration` finds it. Migrations are named by their titles.
#[derive(Debug)]
pub(crate) enum Error {
    /// The migrations cannot be read.
    Source(SourceError),
    /// The history table is not as its tool writes it.
    HistoryTable(Malformed),
    /// The migrations on disk and the history table differ; never empty.
    Drift(Vec<Drift>),
    /// The database holds tables but no history table.
    Unmanaged(Unmanaged),
    /// No migration has this version, name or file name.
    NoSuchMigration {
        /// The VERSION argument.
        wanted: String,
        /// The migrations that were searched.
        source: String,
    },
    /// Several migrations have this version, name or file name.
    AmbiguousMigration {
        /// The VERSION argument.
        wanted: String,
        /// The migrations that fit.
        fitting: Vec<String>,
    },
    /// `premain resolve` cannot resolve this migration.
    Unresolvable {
        /// The migration.
        migration: String,
        /// Why.
        why: &'static str,
    },
    /// Once this migration is recorded as applied, its tool would never run these; never empty.
    WouldNeverRun {
        /// The migration.
        recorded: String,
        /// The pending migrations.
        pending: Vec<String>,
        /// The VERSION argument of the first of them.
        first: String,
    },
    /// Something in the migrations can never run; never empty.
    CannotRun(Vec<Finding>),
    /// These migrations have no down migration.
    NoDownMigration(Vec<String>),
    /// These migrations are applied, would have to be rolled back, and have no file.
    CannotRollBackWithoutFile(Vec<String>),
    /// Another session changed the history table in the meantime.
    Overtaken,
    /// `premain reset` cannot remove something, for this reason.
    CannotEmpty(String),
    /// An up migration failed.
    Failed {
        /// The migration.
        migration: String,
        /// Why.
        failure: Box<Failure>,
        /// The migrations that were applied before it, in this run.
        before: Vec<String>,
        /// How many were pending.
        total: usize,
    },
    /// A down migration failed.
    RollbackFailed {
        /// The migration.
        migration: String,
        /// Why.
        failure: Box<Failure>,
    },
    /// Another session kept the migration lock.
    Locked {
        /// The other session.
        holder: String,
        /// How long premain waited.
        waited: Duration,
    },
    /// A connection pooler does not keep a session of the server for premain.
    Pooled {
        /// How that was noticed.
        why: String,
        /// Where the connection is configured: `DATABASE_URL`.
        origin: String,
    },
    /// A statement of premain's own failed.
    Statement {
        /// What it was for: `read the history table public.refinery_schema_history`.
        what: String,
        /// What the server said.
        error: QueryError,
    },
}

impl Error {
    /// For `map_err`: what a statement of premain's own was for.
    pub(crate) fn statement(what: impl Into<String>) -> impl FnOnce(QueryError) -> Error {
        move |error| Error::Statement { what: what.into(), error }
    }

    /// Whether another session may continue: the connection broke, the server went away, or the migration lock was released,
    /// and the migration that was running is in the database with its record or not at all.
    pub(crate) fn is_lost(&self) -> bool {
        match self {
            Error::Statement { error: QueryError::Lost(_), .. } => true,
            Error::Statement { error: QueryError::Server(error), .. } => {
                remedy::ends_the_session(error.code().code())
            }
            Error::Failed { failure, .. } => failure.is_lost(),
            _ => false,
        }
    }

    /// The exit status for this error.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Error::Source(SourceError::Unreadable { .. }) => Exit::Unreadable,
            Error::Source(
                SourceError::Malformed { .. }
                | SourceError::Duplicate { .. }
                | SourceError::Ambiguous(_)
                | SourceError::Mixed { .. }
                | SourceError::NothingEmbedded,
            )
            | Error::HistoryTable(_)
            | Error::Unmanaged(_)
            | Error::CannotRun(_)
            | Error::CannotEmpty(_)
            | Error::NoDownMigration(_)
            | Error::CannotRollBackWithoutFile(_)
            | Error::WouldNeverRun { .. }
            | Error::Drift(_) => Exit::Migrations,
            Error::NoSuchMigration { .. }
            | Error::AmbiguousMigration { .. }
            | Error::Unresolvable { .. } => Exit::Usage,
            Error::Locked { .. }
            | Error::Overtaken
            | Error::Statement { error: QueryError::Lost(_), .. } => Exit::TryAgain,
            Error::Pooled { .. } => Exit::Config,
            Error::Statement { error: QueryError::Server(error), .. } => {
                remedy::exit(error.code().code())
            }
            Error::Failed { failure, .. } | Error::RollbackFailed { failure, .. } => {
                match (&failure.kept, &failure.reason) {
                    (Kept::Halfway(_), _) => Exit::Migrations,
                    (_, Reason::Unreadable { .. }) => Exit::Unreadable,
                    (_, Reason::Rejected(diagnosis)) => remedy::exit(&diagnosis.code),
                    (_, Reason::Blocked { .. } | Reason::Lost(_) | Reason::Unlocked) => {
                        Exit::TryAgain
                    }
                }
            }
        }
    }
}

impl Error {
    /// Writes why a statement of premain's own failed, and what to do.
    fn explain_statement(
        &self,
        f: &mut fmt::Formatter<'_>,
        what: &str,
        error: &QueryError,
    ) -> fmt::Result {
        if let Some(why) = not_written(&error.to_string()) {
            return write!(f, "migrations: cannot {what}: {why}; nothing was changed");
        }
        let remedy = match (self.exit(), error.code()) {
            // feature_not_supported: no other statement of premain's needs a feature that depends on the table.
            (_, Some("0A000")) => ", because of a trigger or rule on it; nothing was changed",
            // The server's function that checks row-level security: the code is that of a missing privilege.
            (Exit::Refused, _) if is_from(error, "check_enable_rls") => {
                "; rows that this role cannot see would be applied again: give it BYPASSRLS, or disable row-level \
                 security on this table"
            }
            (Exit::Refused, _) => "; grant this role what it lacks",
            _ => "",
        };
        write!(f, "migrations: cannot {what}: {error}{remedy}")
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Source(error) => write!(f, "migrations: {error}"),
            Error::HistoryTable(error) => write!(f, "migrations: {error}"),
            Error::Unmanaged(found) => write!(f, "migrations: {found}"),
            Error::NoSuchMigration { wanted, source } => write!(
                f,
                "no migration of {source} is called '{wanted}'; give its number, its name or its file name, as \
                 'premain status' shows them"
            ),
            Error::AmbiguousMigration { wanted, fitting } => write!(
                f,
                "'{wanted}' may be any of these migrations: {}; give the file name of the one you mean",
                text::list(fitting)
            ),
            Error::Unresolvable { migration, why } => {
                write!(f, "migration {migration} cannot be resolved: {why}; nothing was changed")
            }
            Error::WouldNeverRun { recorded, pending, first } => write!(
                f,
                "migration {recorded} cannot be recorded as applied before these, which are pending and would then never \
                 run: {}; nothing was changed\n\
                 apply them first, or, if they are in the database, begin with 'premain resolve --applied {first}'",
                text::list(pending)
            ),
            Error::CannotRun(findings) => {
                for finding in findings {
                    writeln!(f, "migration cannot run: {}: {}", finding.at(), finding.message)?;
                }
                f.write_str("no migration was run")
            }
            Error::NoDownMigration(migrations) => write!(
                f,
                "migration {} has no down migration: write a down file for each, or restore a backup; nothing was rolled back",
                text::list(migrations)
            ),
            Error::CannotRollBackWithoutFile(migrations) => write!(
                f,
                "migration {} is applied, would be rolled back first, and has no file; roll back with the image that \
                 contains it; nothing was rolled back",
                text::list(migrations)
            ),
            Error::Overtaken => f.write_str(
                "migrations: another session migrated in the meantime; nothing was rolled back; check with 'premain status'",
            ),
            Error::CannotEmpty(why) => write!(f, "{why}; nothing was dropped"),
            Error::Drift(list) => {
                let mut lines: Vec<_> =
                    list.iter().take(text::LISTED).map(ToString::to_string).collect();
                if list.len() > lines.len() {
                    let more = list.len() - lines.len();
                    lines.push(format!("and {more} more: 'premain status' shows them all"));
                }
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
                "migrations: {origin} leads to a connection pooler that keeps no session for premain: {why}\n\
                 the migration lock would be lost in its pool, so no migration was applied; name a direct \
                 connection in MIGRATION_DATABASE_URL (or DIRECT_URL), which premain prefers for migrations, \
                 or a pool in session mode"
            ),
            Error::Statement { what, error: QueryError::Lost(reason) } => write!(
                f,
                "migrations: cannot {what}: the connection was lost ({reason}); run again, which is safe"
            ),
            Error::Statement { what, error } => self.explain_statement(f, what, error),
            Error::Failed { migration, failure, before, total } => {
                failure.explain_up(f, migration)?;
                let applied = match before.len() {
                    0 => "no migration was applied before it".to_owned(),
                    n => format!(
                        "{n} of {total} migrations were applied before it: {}",
                        text::list(before)
                    ),
                };
                write!(f, "\n{applied}")
            }
            Error::RollbackFailed { migration, failure } => failure.explain_down(f, migration),
        }
    }
}

fn is_from(error: &QueryError, routine: &str) -> bool {
    matches!(error, QueryError::Server(error) if error.routine() == Some(routine))
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        Error::Source(error)
    }
}

impl From<Malformed> for Error {
    fn from(error: Malformed) -> Self {
        Error::HistoryTable(error)
    }
}
