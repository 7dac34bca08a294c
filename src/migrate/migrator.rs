//! What every operation on migrations needs: the session, the migrations, their history table and the settings.

use super::drift::{Drift, Policy, Rules};
use super::error::Error;
use super::history::{History, HistoryTable, Malformed};
use super::marks;
use super::migration::Migration;
use super::plan::{Plan, plan};
use super::run::lock::{self, Lock};
use super::run::message;
use super::settings::Settings;
use super::source::Source;
use super::sql::quoting::{create_schema, literal};
use super::unmanaged::{Found, query};
use crate::database::{QueryError, Rows, Session};
use crate::text;

/// Operates on the migrations of one source in one session. The operations are in [`super::run`] and [`super::ops`].
pub(crate) struct Migrator<'a> {
    pub(super) session: &'a Session,
    pub(super) source: &'a Source,
    pub(super) settings: &'a Settings,
    /// The history table by its name; once it is read, [`History`] has the table as it was found.
    pub(super) table: Box<dyn HistoryTable>,
    /// The migration lock and the tool's own.
    pub(super) lock: Lock,
    /// The tool's rules with the user's overrides.
    pub(super) rules: Rules,
}

/// Whether planning logs drift: planning a second time need not repeat the warnings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Log {
    Warnings,
    Nothing,
}

impl<'a> Migrator<'a> {
    /// A migrator for `source` in `session`.
    pub(crate) fn new(
        session: &'a Session,
        source: &'a Source,
        settings: &'a Settings,
    ) -> Migrator<'a> {
        let tool = source.format.tool();
        let table = (tool.history_table)(settings.history_table.as_ref());
        Migrator {
            session,
            source,
            settings,
            lock: Lock::new(table.native_locks()),
            table,
            rules: tool.rules.with_overrides(&settings.on_drift),
        }
    }

    /// The migrations and where they come from.
    pub(crate) fn source(&self) -> &'a Source {
        self.source
    }

    /// What to do about drift.
    pub(crate) fn rules(&self) -> Rules {
        self.rules
    }

    /// The name of the history table, for messages: with the schema that it was found in, if it was read.
    pub(crate) fn table_name<'h>(&'h self, history: Option<&'h History>) -> &'h str {
        self.table(history).name()
    }

    /// The table that renders new records.
    pub(super) fn table<'h>(&'h self, history: Option<&'h History>) -> &'h dyn HistoryTable {
        history.map_or(self.table.as_ref(), |history| history.table.as_ref())
    }

    /// Takes the migration lock, and the native tool's own locks, until the session ends.
    pub(super) async fn lock(&self) -> Result<(), Error> {
        lock::acquire(self.session, &self.lock, self.settings.lock_timeout).await
    }

    /// Reads the history table; `None` if it does not exist.
    ///
    /// # Errors
    /// [`Error`]: it cannot be read, or is not as its tool writes it.
    pub(crate) async fn read_history(&self) -> Result<Option<History>, Error> {
        self.read(Vec::new()).await
    }

    /// As [`Migrator::read_history`], in a session that holds the lock and is going to run migrations: makes premain's settings
    /// in the same round trip. Drops the table of marks if a premain that was killed has left it empty.
    pub(super) async fn read_history_to_migrate(&self) -> Result<Option<History>, Error> {
        let history = self.read(vec![self.session_settings()]).await?;
        if let Some(left_over) = history.as_ref().filter(|history| history.has_empty_marks_table) {
            left_over.table.marks_table().clean_up(self.session).await;
        }
        Ok(history)
    }

    async fn read(&self, before: Vec<String>) -> Result<Option<History>, Error> {
        match self.read_after(before).await {
            Ok(results) => Ok(Some(self.parse(results).await?)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(self.unreadable(error)),
        }
    }

    /// Creates the history table, and reads what another replica may have recorded in it since. Makes premain's settings in
    /// the same round trip.
    pub(super) async fn create_and_read_history(&self) -> Result<History, Error> {
        // The server's notice that another replica has created it would be noise.
        let mut create = vec!["SET LOCAL client_min_messages = warning".to_owned()];
        create.push(self.session_settings());
        create.extend(self.create_statements());
        let what = format!("create the history table {}", self.table.name());
        let results = self.read_after(create).await.map_err(Error::statement(what))?;
        self.parse(results).await
    }

    /// The results of reading the history table after these statements, in one message.
    async fn read_after(&self, before: Vec<String>) -> Result<Vec<Rows>, QueryError> {
        let mut statements = before;
        // Row-level security would hide rows: what is recorded there would be applied again.
        statements.push("SET LOCAL row_security = off".to_owned());
        let others = statements.len();
        statements.extend([self.table.read(), self.table.marks_table().exists()]);
        let mut results = self.session.query(&statements.join("; ")).await?;
        Ok(results.split_off(others.min(results.len())))
    }

    /// Fails if the database's encoding cannot hold the name of a migration, which its record needs.
    pub(super) async fn expect_storable_names(&self) -> Result<(), Error> {
        let Some(encoding) = self.session.encoding.as_deref() else { return Ok(()) };
        if matches!(encoding, "UTF8" | "SQL_ASCII") {
            return Ok(());
        }
        let names = self.source.migrations.iter().filter(|file| !file.title.is_ascii());
        for migration in names {
            let asked = self.session.query(&format!("SELECT {}", literal(&migration.title))).await;
            asked.map_err(|error| match error.code() {
                // character_not_in_repertoire, untranslatable_character
                Some("22021" | "22P05") => Error::HistoryTable(Malformed {
                    table: self.table.name().to_owned(),
                    why: format!(
                        "the encoding of this database, {encoding}, cannot hold the name of migration {migration}; \
                         rename its file, or use a database in UTF8"
                    ),
                }),
                _ => Error::statement("ask whether the history table can hold the names")(error),
            })?;
        }
        Ok(())
    }

    fn session_settings(&self) -> String {
        message::settings(self.settings.ddl_lock_timeout.unwrap_or_default())
    }

    /// The statements that create the URL's schema and the history table, unless they exist.
    pub(super) fn create_statements(&self) -> Vec<String> {
        let schema = self.session.schema().map(create_schema);
        schema.into_iter().chain(self.table.create()).collect()
    }

    /// The history in the results of [`Migrator::read_after`], with the marks of premain's own table if there is one.
    async fn parse(&self, mut results: Vec<Rows>) -> Result<History, Error> {
        let exists = results.pop();
        let exists = exists.as_ref().and_then(|rows| rows.first()?.first()?.as_deref());
        let files = &self.source.migrations;
        let mut history = self.table.parse(&results, files)?;
        history.name_after_files(files);
        if exists == Some("t") {
            match self.session.query(&history.table.marks_table().read()).await {
                Ok(results) => {
                    let rows = results.concat();
                    history.has_empty_marks_table = rows.is_empty();
                    history.add_marks(&rows, files)?;
                }
                // Another replica has just finished its migration.
                Err(error) if is_absent(&error) => {}
                Err(error) => {
                    let what = format!("read {}, which lists what stopped halfway", marks::NAME);
                    return Err(Error::statement(what)(error));
                }
            }
        }
        Ok(history)
    }

    fn unreadable(&self, error: QueryError) -> Error {
        let table = self.table.name();
        match error.code() {
            // undefined_column
            Some("42703") => Error::HistoryTable(Malformed {
                table: table.to_owned(),
                why: format!(
                    "{error}: this is another tool's table; name the right one with --history-table"
                ),
            }),
            _ => Error::statement(format!("read the history table {table}"))(error),
        }
    }

    /// Whether the history table exists by now; an error if other tables exist and it does not. Call it under the lock:
    /// otherwise another replica may be creating the table.
    ///
    /// # Errors
    /// [`Error::Unmanaged`]
    pub(crate) async fn history_table_exists(&self) -> Result<bool, Error> {
        let results = self.session.query(&query(self.table.name())).await;
        let results = results.map_err(Error::statement("list the tables"))?;
        match Found::parse(&results, self.table.name()) {
            Found::HistoryTable => Ok(true),
            Found::Nothing => Ok(false),
            Found::Unmanaged(mut unmanaged) => {
                if let Some(tool) = &mut unmanaged.tool
                    && let Some(sql) = tool.revision_query()
                {
                    let rows = self.session.query(&sql).await.unwrap_or_default();
                    tool.revision =
                        rows.first().and_then(|rows| rows.first()?.first().cloned().flatten());
                }
                Err(Error::Unmanaged(unmanaged))
            }
        }
    }

    /// Compares the migrations on disk with the history table. The plan contains all drift, also what the rules ignore.
    pub(crate) fn compare(&self, history: Option<&History>) -> Plan<'a> {
        let table = self.table(history);
        let recorded = history.map(|history| history.recorded.as_slice()).unwrap_or_default();
        let unchanged = |file: &Migration, row: &_| table.is_unchanged(file, row);
        plan(&self.source.migrations, recorded, &self.rules, unchanged)
    }

    /// As [`Migrator::compare`], but logs drift that is a warning, and fails for drift that is an error.
    pub(super) fn plan(&self, history: Option<&History>, log: Log) -> Result<Plan<'a>, Error> {
        let plan = self.compare(history);
        let with =
            |policy| plan.drift.iter().filter(move |drift| self.rules.policy(drift) == policy);
        let fatal: Vec<Drift> = with(Policy::Fail).cloned().collect();
        if !fatal.is_empty() {
            return Err(Error::Drift(fatal));
        }
        if log == Log::Warnings {
            with(Policy::Warn).take(text::LISTED).for_each(|drift| tracing::warn!("{drift}"));
            let more = with(Policy::Warn).skip(text::LISTED).count();
            if more > 0 {
                tracing::warn!("migrations: {more} more of these: 'premain status' shows them all");
            }
        }
        Ok(plan)
    }
}

/// `undefined_table` or `invalid_schema_name`
fn is_absent(error: &QueryError) -> bool {
    matches!(error.code(), Some("42P01" | "3F000"))
}
