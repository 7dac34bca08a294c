//! The one way to a session that runs statements: [`hold()`] logs in, races the signals, and ends
//! the session in every outcome.

use std::pin::Pin;
use std::time::{Duration, Instant};

use super::connect::{self, Demand};
use super::error::ConnectError;
use super::session::{GOODBYE, Session};
use super::settings::Database;
use crate::shutdown::{Shutdown, Stopped};
use crate::text;

/// How long a cancelled migration may take to roll back; less than the grace of every supervisor.
const ROLLBACK: Duration = Duration::from_secs(5);

/// A login that succeeded. Only [`hold()`] can make a session of it that runs statements.
pub(crate) struct Login(Session);

/// Tries every host, and every address of each, once; the first login that meets `demand` is taken.
///
/// # Errors
/// One for each address that was tried.
pub(crate) async fn connect(
    database: &Database,
    demand: Demand,
) -> Result<Login, Vec<ConnectError>> {
    // Boxed, because the state of a login is large, and would be a part of that of every caller.
    Box::pin(connect::connect(database, demand)).await.map(Login)
}

/// Logs in once, and ends the session.
///
/// # Errors
/// As [`connect()`].
pub(crate) async fn probe(database: &Database) -> Result<(), Vec<ConnectError>> {
    connect::connect(database, Demand::Login).await?.close().await;
    Ok(())
}

/// Awaits `login`, does `work` in its session, and closes the session, whatever the outcome.
///
/// A signal stops both. It cancels the statement that runs and, if that is a migration's, waits for
/// its rollback; a second signal ends this wait. `work` is polled before the signals are
/// read, so that a hook that runs in it takes the signal.
///
/// # Errors
/// Those of `login` and `work`, or [`Stopped`].
pub(crate) async fn hold<T, E: From<Stopped>>(
    shutdown: &Shutdown,
    login: impl Future<Output = Result<Login, E>>,
    during: &'static str,
    work: impl AsyncFnOnce(&Session) -> Result<T, E>,
) -> Result<T, E> {
    // Behind a pointer, so that a login is compiled once and not into each of the callers.
    let login: Pin<Box<dyn Future<Output = _>>> = Box::pin(shutdown.race("waiting", login));
    let Login(session) = login.await??;
    let outcome = tokio::select! {
        biased;
        outcome = work(&session) => Ok(outcome),
        signal = shutdown.signal() => Err(Stopped { signal, during }),
    };
    Box::pin(end(session, shutdown, outcome.is_err())).await;
    outcome?
}

/// Closes the session, or cancels what it does if a signal `stopped` it. Not a part of [`hold()`],
/// which is compiled anew for each of its callers.
async fn end(session: Session, shutdown: &Shutdown, stopped: bool) {
    if !stopped {
        return session.close().await;
    }
    let began = Instant::now();
    let changing = session.changing.get();
    if changing {
        tracing::info!("cancelling the migration, and waiting for its rollback");
    }
    tokio::select! {
        biased;
        _ = shutdown.signal() => {}
        in_time = session.abandon(if changing { ROLLBACK } else { GOODBYE }) => {
            if changing && in_time {
                tracing::debug!("migration rolled back in {}", text::duration(began.elapsed()));
            }
        }
    }
}
