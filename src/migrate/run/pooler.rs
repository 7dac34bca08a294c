//! Whether a connection pooler keeps one session of the server for premain's session.
//!
//! An advisory lock belongs to a session of the server. A pooler in transaction mode lends each transaction any session that is
//! free: the lock would stay in the pool, on a session that is lent to another client next, where two replicas may hold it at
//! once and nothing releases it. A pooler in session mode is fine.
//!
//! Poolers do not say which mode they are in, so premain finds out by trying. It does so only if there is a pooler: a
//! server process that answers itself has the process id that it announced at the login.

use std::rc::Rc;
use std::time::Duration;

use crate::database::{ConnectError, QueryError, Session};
use crate::migrate::error::Error;
use crate::migrate::sql::quoting::literal;

/// How many probes there are at most. One is enough if premain is alone in the pool, which then lends it the session that it
/// has just given back. If other clients are active, each probe may miss what the next one finds.
const PROBES: usize = 5;

/// How long a second client may wait for a session of the pool.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Makes sure that the server process `backend` serves `session` alone.
///
/// # Errors
/// [`Error::Pooled`] if it does not, or if that cannot be determined.
pub(super) async fn check(session: &Session, backend: i32) -> Result<(), Error> {
    tracing::debug!("migrations: there is a pooler or proxy; determining its pool mode");
    let other = second_client(session).await.map_err(|error| {
        let why = format!("could not determine the pool mode: a second login failed ({error})");
        pooled(session, why)
    })?;
    // Without a second client, the pool has no session left for other clients, and premain's still answers.
    if let Some(other) = other {
        let mut verdict = Verdict::Unknown;
        for _ in 0..PROBES {
            verdict = probe(session, &other, backend).await?;
            if !matches!(verdict, Verdict::Unknown) {
                break;
            }
        }
        drop(other);
        session.close_second().await;
        if let Verdict::Shared(why) = verdict {
            return Err(pooled(session, why));
        }
    }
    check_settings(session, backend).await
}

/// Makes sure that the pooler did not switch the session, and passed on the URL's schema.
async fn check_settings(session: &Session, backend: i32) -> Result<(), Error> {
    let schema = session.schema().unwrap_or_default();
    let sql = format!(
        "SELECT pg_catalog.pg_backend_pid() = {backend}, \
         pg_catalog.strpos(pg_catalog.current_setting('search_path'), {}) > 0",
        literal(schema)
    );
    let rows = session
        .query(&sql)
        .await
        .map_err(Error::statement("ask which server process serves this session"))?;
    let row = rows.first().and_then(|rows| rows.first());
    let is_true = |column: usize| row.and_then(|row| row.get(column)?.as_deref()) == Some("t");
    if !is_true(0) {
        return Err(switched(session));
    }
    if !schema.is_empty() && !is_true(1) {
        let why =
            format!("it does not pass on the URL's schema={schema} (ignore_startup_parameters)");
        return Err(pooled(session, why));
    }
    session.set_pooled();
    Ok(())
}

const SWITCHED: &str =
    "two of its statements were answered by two sessions of the server (transaction pooling)";

/// The error for a session whose statements two processes of the server answered.
pub(super) fn switched(session: &Session) -> Error {
    pooled(session, SWITCHED.to_owned())
}

fn pooled(session: &Session, why: String) -> Error {
    Error::Pooled { why, origin: session.origin().to_owned() }
}

/// What one probe shows.
enum Verdict {
    /// The pool keeps the server's session for premain.
    Kept,
    /// It does not, for this reason.
    Shared(String),
    Unknown,
}

/// Lets `other` occupy a session of the pool with a transaction. In transaction mode that is premain's, which was given back a
/// moment ago; if the pool lends the session that was unused for longest instead, premain's own two statements are answered
/// by two of them.
async fn probe(session: &Session, other: &Session, backend: i32) -> Result<Verdict, Error> {
    let is_ours = async || {
        let answering = session.answering_backend().await;
        Ok::<_, Error>(
            answering.map_err(Error::statement("ask which server process answers"))?
                == Some(backend),
        )
    };
    if !is_ours().await? || !is_ours().await? {
        return Ok(Verdict::Shared(SWITCHED.to_owned()));
    }
    match tokio::time::timeout(TIMEOUT, occupy(other)).await {
        Ok(Ok(theirs)) if theirs == Some(backend) => Ok(Verdict::Shared(
            "another client was given premain's session of the server (transaction pooling)"
                .to_owned(),
        )),
        Ok(Ok(_)) => {
            let _ = other.execute("ROLLBACK").await;
            Ok(Verdict::Unknown)
        }
        Ok(Err(error)) => Ok(Verdict::Shared(format!("it allows no transaction: {error}"))),
        // The other client waits for a session, and premain, which asks later, is answered: by a session of its own.
        Err(_) => Ok(if is_ours().await? { Verdict::Kept } else { Verdict::Unknown }),
    }
}

async fn occupy(other: &Session) -> Result<Option<i32>, QueryError> {
    other.execute("BEGIN").await?;
    other.answering_backend().await
}

/// A second client of the pool; `None` if the pool keeps it waiting while it serves premain.
async fn second_client(session: &Session) -> Result<Option<Rc<Session>>, ConnectError> {
    /// The server may be full for a moment.
    const ATTEMPTS: usize = 4;
    let mut attempts = 0;
    loop {
        attempts += 1;
        match tokio::time::timeout(TIMEOUT, session.open_second()).await {
            Ok(Ok(other)) => return Ok(Some(other)),
            Err(_) => return Ok(None),
            Ok(Err(error)) if attempts == ATTEMPTS => return Err(error),
            Ok(Err(_)) => tokio::time::sleep(TIMEOUT / 4).await,
        }
    }
}
