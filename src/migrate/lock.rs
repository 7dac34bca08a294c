//! The advisory lock that lets one replica migrate while the others wait.
//!
//! It is polled: a session that blocks in `pg_advisory_lock` holds a snapshot, for which another
//! replica's CREATE INDEX CONCURRENTLY waits, while that replica holds the lock: a deadlock.

use std::time::{Duration, Instant};

use super::error::Error;
use super::pooler;
use crate::database::Session;
use crate::text;

/// "premain" in ASCII: one lock for each database, whatever the history table.
const KEY: i64 = 0x0070_7265_6d61_696e;

/// The pauses between two tries double from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(250);

/// How long to be silent between two lines about who is in the way: double each time, to a minute.
const FIRST_SILENCE: Duration = Duration::from_secs(5);
const LAST_SILENCE: Duration = Duration::from_mins(1);

/// Takes the lock, and then the native tool's own, for this session, which keeps them until it ends.
/// The native ones are SQL expressions.
///
/// # Errors
/// [`Error::Locked`] with the holder, once `timeout` has passed; `None` waits for ever.
/// [`Error::Pooled`] where the session is nobody's to keep.
pub(super) async fn acquire(
    session: &Session,
    native: Vec<String>,
    timeout: Option<Duration>,
) -> Result<(), Error> {
    let keys: Vec<String> = [KEY.to_string()].into_iter().chain(native).collect();
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut spoken: Option<Instant> = None;
    let mut silence = FIRST_SILENCE;
    let mut backend = session.announced_backend().await;
    let mut pooled = false;
    loop {
        match try_lock(session, backend, &keys).await? {
            Attempt::Taken => break,
            Attempt::Elsewhere(_) if pooled => return Err(pooler::switched(session)),
            Attempt::Elsewhere(actual) => {
                pooler::check(session, actual).await?;
                (backend, pooled) = (Some(actual), true);
                continue;
            }
            Attempt::Busy => {}
        }
        let waited = started.elapsed();
        if timeout.is_some_and(|timeout| waited >= timeout) {
            return Err(Error::Locked { holder: holder(session, &keys).await?, waited });
        }
        let due = spoken.map_or(pause > FIRST_PAUSE * 8, |at| at.elapsed() >= silence);
        if due {
            let holder = holder(session, &keys).await?;
            match spoken {
                None => tracing::info!("waiting for the migration lock, held by {holder}"),
                Some(_) => {
                    silence = (silence * 2).min(LAST_SILENCE);
                    let waited = text::duration(waited);
                    tracing::info!(
                        "still waiting for the migration lock after {waited}, held by {holder}"
                    );
                }
            }
            spoken = Some(Instant::now());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
    if let Some(backend) = backend {
        session.set_backend(backend);
    }
    if spoken.is_some() {
        tracing::info!("got the migration lock after {}", text::duration(started.elapsed()));
    }
    Ok(())
}

/// What came of one try.
enum Attempt {
    Taken,
    Busy,
    /// Another process than the one that was expected answered, and took nothing.
    Elsewhere(i32),
}

/// One round trip. A process that is not `backend` takes no lock: it may be another's next.
async fn try_lock(
    session: &Session,
    backend: Option<i32>,
    keys: &[String],
) -> Result<Attempt, Error> {
    // CASE keeps the order. A lock that is held already is got again, which is no harm.
    let all = keys.iter().rfold("true".to_owned(), |rest, key| {
        format!("CASE WHEN pg_catalog.pg_try_advisory_lock({key}) THEN {rest} ELSE false END")
    });
    let backend = backend.unwrap_or_default();
    let rows = session
        .query(&format!(
            "SELECT pid, CASE WHEN pid = {backend} THEN {all} END \
             FROM (SELECT pg_catalog.pg_backend_pid()) AS backend (pid)"
        ))
        .await
        .map_err(Error::refused("take the migration lock"))?;
    let row = rows.first().and_then(|rows| rows.first());
    let column = |index: usize| row.and_then(|row| row.get(index)?.as_deref());
    Ok(match column(1) {
        Some("t") => Attempt::Taken,
        Some(_) => Attempt::Busy,
        None => Attempt::Elsewhere(column(0).and_then(|pid| pid.parse().ok()).unwrap_or_default()),
    })
}

/// Who holds the lock: `pid 12 (premain, app@10.0.0.5, connected since 12:00:01)`.
async fn holder(session: &Session, keys: &[String]) -> Result<String, Error> {
    let keys = keys.join(", ");
    let sql = format!(
        "SELECT l.pid, a.application_name, a.usename, coalesce(host(a.client_addr), 'local'), \
                to_char(a.backend_start AT TIME ZONE 'UTC', 'HH24:MI:SS') \
         FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a USING (pid) \
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
           AND (l.classid::bigint << 32) + l.objid::bigint = ANY (ARRAY[{keys}]::bigint[]) AND l.pid <> pg_catalog.pg_backend_pid() \
           AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"
    );
    let rows =
        session.query(&sql).await.map_err(Error::refused("ask who holds the migration lock"))?;
    let Some(row) = rows.first().and_then(|rows| rows.first()) else {
        return Ok("nobody any more".to_owned());
    };
    let column = |index: usize| row.get(index).and_then(Option::as_deref).unwrap_or("?");
    Ok(format!(
        "pid {} ({}, {}@{}, connected since {} UTC)",
        column(0),
        column(1),
        column(2),
        column(3),
        column(4)
    ))
}
