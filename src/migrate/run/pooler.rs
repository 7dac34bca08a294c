//! Whether a pooler stands between us and the server, and what it does with our session.
//!
//! An advisory lock belongs to a session of the server. A pooler in transaction mode gives each
//! transaction whichever session is free: the lock stays behind on one that others are given next,
//! two replicas may hold "it" on the same one, and nobody ever frees it. Session mode is fine.
//!
//! No pooler says which mode it is in, so it is found out. Of a server that answers by itself nothing
//! of this is asked: there the process id that the login told is the one that answers.

use std::rc::Rc;
use std::time::Duration;

use crate::database::{ConnectError, QueryError, Session};
use crate::migrate::error::Error;
use crate::migrate::sql::quoting::literal;

/// How often to look. One look is enough where nobody else uses the pool: it gives us again what it
/// has just got back. Where others do, each look may miss what the next one sees.
const LOOKS: usize = 5;

/// How long a second client of the pool is let wait for a session of its own.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes sure that `session` keeps the server's process `backend` for itself.
///
/// # Errors
/// [`Error::Pooled`], with what shows that it does not.
pub(super) async fn check(session: &Session, backend: i32) -> Result<(), Error> {
    tracing::debug!("migrations: a pooler or proxy is in between, asking how it shares sessions");
    let Some(other) = second_client(session).await.map_err(|error| {
        refused(
            session,
            format!("how it shares them, a second login would show, and failed ({error})"),
        )
    })?
    else {
        // The pool has no session left for anybody else, but ours still answers.
        return finish(session, backend).await;
    };
    let mut verdict = Ok(());
    for _ in 0..LOOKS {
        match look(session, &other, backend).await? {
            Look::Shared(why) => {
                verdict = Err(refused(session, why));
                break;
            }
            Look::Kept => break,
            Look::Open => {}
        }
    }
    drop(other);
    session.close_second().await;
    verdict?;
    finish(session, backend).await
}

/// The pool serves us as a server would, unless it lost our settings on the way.
async fn finish(session: &Session, backend: i32) -> Result<(), Error> {
    let schema = session.schema().unwrap_or_default();
    let sql = format!(
        "SELECT pg_catalog.pg_backend_pid() = {backend}, \
         pg_catalog.strpos(pg_catalog.current_setting('search_path'), {}) > 0",
        literal(schema)
    );
    let rows =
        session.query(&sql).await.map_err(Error::statement("ask who serves this session"))?;
    let row = rows.first().and_then(|rows| rows.first());
    let holds = |index: usize| row.and_then(|row| row.get(index)?.as_deref()) == Some("t");
    if !holds(0) {
        return Err(switched(session));
    }
    if !schema.is_empty() && !holds(1) {
        let why =
            format!("it does not pass on the URL's schema={schema} (ignore_startup_parameters)");
        return Err(refused(session, why));
    }
    session.set_pooled();
    Ok(())
}

/// Two processes of the server answered for one session.
pub(super) fn switched(session: &Session) -> Error {
    refused(session, SWITCHED.to_owned())
}

fn refused(session: &Session, why: String) -> Error {
    Error::Pooled { why, origin: session.origin().to_owned() }
}

const SWITCHED: &str =
    "two of its statements were answered by two sessions of the server (transaction pooling)";

/// What one look shows.
enum Look {
    /// It is ours alone: the pool has none for anybody else, and ours still answers.
    Kept,
    /// It is not.
    Shared(String),
    /// It may be either.
    Open,
}

/// Occupies a session of the pool with a transaction. In transaction mode that is ours, which was
/// given back a moment ago; where the pool hands out the longest unused one instead, our own two
/// statements are answered by two.
async fn look(session: &Session, other: &Session, backend: i32) -> Result<Look, Error> {
    let ours =
        async || session.answering_backend().await.map_err(Error::statement("ask who answers"));
    if ours().await? != Some(backend) || ours().await? != Some(backend) {
        return Ok(Look::Shared(SWITCHED.to_owned()));
    }
    match tokio::time::timeout(PATIENCE, occupy(other)).await {
        Ok(Ok(theirs)) if theirs == Some(backend) => Ok(Look::Shared(
            "another client was given premain's session of the server (transaction pooling)"
                .to_owned(),
        )),
        Ok(Ok(_)) => {
            let _ = other.execute("ROLLBACK").await;
            Ok(Look::Open)
        }
        Ok(Err(error)) => Ok(Look::Shared(format!("it allows no transaction: {error}"))),
        // It waits in the queue before us, and we are served: by what is ours.
        Err(_) => Ok(if ours().await? == Some(backend) { Look::Kept } else { Look::Open }),
    }
}

async fn occupy(other: &Session) -> Result<Option<i32>, QueryError> {
    other.execute("BEGIN").await?;
    other.answering_backend().await
}

/// `None` where the pool lets it wait, while it serves us.
async fn second_client(session: &Session) -> Result<Option<Rc<Session>>, ConnectError> {
    /// The server may be full for a moment.
    const TRIES: usize = 4;
    let mut tries = 0;
    loop {
        tries += 1;
        match tokio::time::timeout(PATIENCE, session.open_second()).await {
            Ok(Ok(other)) => return Ok(Some(other)),
            Err(_) => return Ok(None),
            Ok(Err(error)) if tries == TRIES => return Err(error),
            Ok(Err(_)) => tokio::time::sleep(PATIENCE / 4).await,
        }
    }
}
