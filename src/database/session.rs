//! A session that is logged in: runs statements, cancels one, and ends.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::error::{DbError, Severity};
use tokio_postgres::tls::{NoTls, TlsStream};
use tokio_postgres::{AsyncMessage, Client, Connection, SimpleQueryMessage};

use super::bounded::Allowance;
use super::error::reason;
use super::settings::{Database, Host};
use super::stream::{Origin, Wire};
use crate::text;

/// One login on one server; [`super::hold()`] is the only way to get one. All statements are simple
/// queries: they need no round trip to prepare, may hold several statements, and pass through every
/// pooler.
pub(crate) struct Session {
    pub(super) client: Client,
    driver: JoinHandle<()>,
    /// Why the connection broke, if it did.
    broken: Arc<OnceLock<String>>,
    allowance: Allowance,
    answer_timeout: Cell<Option<Duration>>,
    pub(super) origin: Origin,
    pub(super) login: Database,
    reported: Option<ServerState>,
    /// Whether a backslash in `'…'` begins an escape: `standard_conforming_strings` was off at the login.
    pub(crate) has_backslash_escapes: bool,
    /// The encoding of the database: `UTF8`; `None` if the server does not report it.
    pub(crate) encoding: Option<String>,
    /// Whether the last statement may have changes that take long to roll back.
    pub(super) changing: Cell<bool>,
    /// The process id of the server's process, once it is known for certain.
    pub(super) backend: Cell<Option<i32>>,
    /// It belongs to a pooler, which gives it to other clients afterwards.
    pub(super) pooled: Cell<bool>,
    /// Another session of the same login, which ends with this one.
    pub(super) second: RefCell<Option<Rc<Session>>>,
}

/// How long an orderly end may take. The server also notices one that is not.
pub(super) const GOODBYE: Duration = Duration::from_secs(1);

/// Which writes a server takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerState {
    /// It replicates another server.
    pub standby: bool,
    /// Its transactions are read-only unless they say otherwise.
    pub read_only: bool,
}

/// The rows of one statement: every value is text, `None` is NULL.
pub(crate) type Rows = Vec<Vec<Option<String>>>;

/// Why a statement has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    /// The server rejected it.
    #[error("{} ({})", .0.message(), .0.code().code())]
    Server(Box<DbError>),
    /// The connection broke; whether the statement ran is unknown.
    #[error("the connection was lost: {0}")]
    Lost(String),
}

impl QueryError {
    /// The five characters of the SQLSTATE, if the server gave one.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            QueryError::Server(error) => Some(error.code().code()),
            QueryError::Lost(_) => None,
        }
    }
}

impl Session {
    /// Takes over a connection that is logged in, and reads from it until it ends.
    pub(super) fn start<S, T>(
        client: Client,
        mut connection: Connection<S, T>,
        origin: &Origin,
        database: &Database,
        allowance: Allowance,
    ) -> Session
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: TlsStream + Unpin + Send + 'static,
    {
        // PostgreSQL 14 and later report both at every login.
        let flag = |name| connection.parameter(name).map(|value| value == "on");
        let reported = flag("in_hot_standby")
            .zip(flag("default_transaction_read_only"))
            .map(|(standby, read_only)| ServerState { standby, read_only });
        let has_backslash_escapes = flag("standard_conforming_strings") == Some(false);
        let encoding = connection.parameter("server_encoding").map(str::to_owned);
        let broken = Arc::new(OnceLock::new());
        let reason = Arc::clone(&broken);
        let driver = tokio::spawn(async move {
            while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
                match message {
                    Ok(AsyncMessage::Notice(notice)) => log_notice(&notice),
                    Ok(_) => {}
                    Err(error) => {
                        let _ = reason.set(why(&error));
                        return;
                    }
                }
            }
        });
        Session {
            client,
            driver,
            broken,
            allowance,
            answer_timeout: Cell::new(None),
            origin: origin.clone(),
            login: database.clone(),
            reported,
            has_backslash_escapes,
            encoding,
            changing: Cell::new(false),
            backend: Cell::new(None),
            pooled: Cell::new(false),
            second: RefCell::new(None),
        }
    }

    /// The host that it is connected to: `db:5432`.
    pub(crate) fn host(&self) -> &Host {
        &self.origin.host
    }

    /// The variable or option that names the database: `DATABASE_URL`.
    pub(crate) fn origin(&self) -> &str {
        &self.login.origin
    }

    /// The schema that the URL names (Prisma's `?schema=`), which need not exist yet.
    pub(crate) fn schema(&self) -> Option<&str> {
        self.login.schema.as_deref()
    }

    /// From now on [`Session::query`] fails if there is no answer within `timeout`.
    pub(crate) fn set_answer_timeout(&self, timeout: Option<Duration>) {
        self.answer_timeout.set(timeout);
    }

    /// Runs premain's own statements, which roll back in an instant if at all, in one round trip
    /// and returns the rows of each.
    ///
    /// # Errors
    /// The first statement's error; those after it did not run.
    pub(crate) async fn query(&self, sql: &str) -> Result<Vec<Rows>, QueryError> {
        self.changing.set(false);
        self.allowance.limit_answer();
        match self.answer_timeout.get() {
            None => self.collect(sql).await,
            Some(timeout) => {
                tokio::time::timeout(timeout, self.collect(sql)).await.unwrap_or_else(|_| {
                    let timeout = text::duration(timeout);
                    Err(QueryError::Lost(format!("no answer within {timeout}")))
                })
            }
        }
    }

    async fn collect(&self, sql: &str) -> Result<Vec<Rows>, QueryError> {
        let failed = |error| self.failed(&error);
        let mut messages = std::pin::pin!(self.client.simple_query_raw(sql).await.map_err(failed)?);
        let mut results: Vec<Rows> = vec![Vec::new()];
        while let Some(message) = messages.next().await {
            match message.map_err(failed)? {
                SimpleQueryMessage::Row(row) => {
                    let row = (0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect();
                    if let Some(rows) = results.last_mut() {
                        rows.push(row);
                    }
                }
                SimpleQueryMessage::CommandComplete(_) => results.push(Vec::new()),
                _ => {}
            }
        }
        results.pop();
        Ok(results)
    }

    /// Runs statements that may take long, also to roll back, in one round trip and without a
    /// timeout; drops the rows they return.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub(crate) async fn execute(&self, sql: &str) -> Result<(), QueryError> {
        self.changing.set(true);
        self.allowance.limit_messages();
        self.client.batch_execute(sql).await.map_err(|error| self.failed(&error))
    }

    /// The task that reads the connection knows better than the client why there is no answer.
    fn failed(&self, error: &tokio_postgres::Error) -> QueryError {
        match error.as_db_error() {
            Some(db) => QueryError::Server(Box::new(db.clone())),
            None => QueryError::Lost(self.broken.get().cloned().unwrap_or_else(|| why(error))),
        }
    }

    /// As [`Session::execute`], for the statements of a migration.
    ///
    /// # Errors
    /// As [`Session::query`], with the number of statements that succeeded before.
    pub(crate) async fn run(&self, sql: &str) -> Result<(), (usize, QueryError)> {
        self.changing.set(true);
        self.allowance.limit_messages();
        let mut done = 0;
        let messages = self.client.simple_query_raw(sql).await;
        let mut messages = std::pin::pin!(messages.map_err(|error| (0, self.failed(&error)))?);
        while let Some(message) = messages.next().await {
            if let SimpleQueryMessage::CommandComplete(_) =
                message.map_err(|error| (done, self.failed(&error)))?
            {
                done += 1;
            }
        }
        Ok(())
    }

    /// Whether the server takes writes: as it reported at the login, otherwise by one query.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub(crate) async fn server_state(&self) -> Result<ServerState, QueryError> {
        if let Some(state) = self.reported {
            return Ok(state);
        }
        let sql = "SELECT pg_catalog.pg_is_in_recovery(), \
                   pg_catalog.current_setting('default_transaction_read_only')";
        let rows = self.query(sql).await?;
        let value = |column: usize| {
            rows.first().and_then(|rows| rows.first()?.get(column)?.as_deref()).unwrap_or_default()
        };
        Ok(ServerState { standby: value(0) == "t", read_only: value(1) == "on" })
    }

    /// Ends it, and the second session with it; the server then frees its locks.
    pub(super) async fn close(self) {
        let second = self.second.take().and_then(Rc::into_inner);
        let second = async {
            if let Some(second) = second {
                second.end().await;
            }
        };
        tokio::join!(self.end(), second);
    }

    async fn end(mut self) {
        if self.pooled.get() {
            // DISCARD ALL is not allowed in a transaction, which a failed statement may have left.
            let reset = async {
                self.execute("ROLLBACK").await?;
                self.execute("DISCARD ALL").await
            };
            let _ = tokio::time::timeout(GOODBYE, reset).await;
        }
        drop(self.client);
        if tokio::time::timeout(GOODBYE, &mut self.driver).await.is_err() {
            self.driver.abort();
        }
    }

    /// Ends it although a statement may be running: cancels that, waits until the server has rolled
    /// it back, and closes the session. Gives up after `limit`; returns whether it had to.
    pub(super) async fn abandon(self, limit: Duration) -> bool {
        /// A cancel request that arrives between two statements does nothing: send another one.
        const RETRY: Duration = Duration::from_millis(100);
        let rolled_back = async {
            let mut rollback = std::pin::pin!(self.client.batch_execute("ROLLBACK"));
            loop {
                tokio::select! {
                    biased;
                    _ = &mut rollback => return,
                    () = self.cancel() => {}
                }
                if tokio::time::timeout(RETRY, &mut rollback).await.is_ok() {
                    return;
                }
            }
        };
        let in_time = tokio::time::timeout(limit, rolled_back).await.is_ok();
        if in_time {
            self.close().await;
        }
        in_time
    }

    /// Asks the server to cancel the statement that runs. The protocol has no answer that says
    /// whether it did.
    async fn cancel(&self) {
        let token = self.client.cancel_token();
        let Ok(stream) = self.origin.open().await else { return };
        let _ = match (self.origin.negotiate(stream).await, &self.origin.connector) {
            (Ok(Wire::Encrypted(stream)), Some(connector)) => {
                token.cancel_query_raw(stream, connector.for_host(&self.origin.host)).await
            }
            (Ok(Wire::Encrypted(stream) | Wire::Clear(stream)), _) => {
                token.cancel_query_raw(stream, NoTls).await
            }
            (Err(_), _) => return,
        };
    }
}

/// Why the connection broke, without the words that the crate adds.
fn why(error: &tokio_postgres::Error) -> String {
    let source = std::error::Error::source(error);
    match (error.as_db_error(), source.and_then(|source| source.downcast_ref())) {
        (Some(error), _) => error.message().to_owned(),
        (None, Some(error)) => reason(error),
        (None, None) if error.is_closed() => reason(&io::ErrorKind::UnexpectedEof.into()),
        (None, None) => error.to_string(),
    }
}

fn log_notice(notice: &DbError) {
    let code = notice.code().code();
    // Not `severity()`, which is in the server's language.
    match notice.parsed_severity() {
        // A migration begins or ends a transaction although premain did; that is allowed.
        Some(Severity::Warning) if matches!(code, "25001" | "25P01") => {
            tracing::debug!("migration: the server warns: {} ({code})", notice.message());
        }
        Some(Severity::Warning) => {
            tracing::warn!("migration: the server warns: {} ({code})", notice.message());
        }
        Some(Severity::Debug | Severity::Log) => {
            tracing::debug!("migration: {}", notice.message());
        }
        _ => tracing::info!("migration: the server notes: {}", notice.message()),
    }
}
