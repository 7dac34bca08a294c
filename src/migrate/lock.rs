//! The advisory lock that lets one replica migrate while the others wait.
//!
//! It is polled: a session that blocks in `pg_advisory_lock` holds a snapshot, for which another
//! replica's CREATE INDEX CONCURRENTLY waits, while that replica holds the lock: a deadlock.

use std::time::{Duration, Instant};

use super::error::Error;
use crate::database::Session;
use crate::text;

/// "premain" in ASCII: one lock for each database, whatever the history table.
const KEY: i64 = 0x0070_7265_6d61_696e;

/// The pauses between two tries double from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(250);

/// How often to say who is in the way.
const SUMMARY: Duration = Duration::from_secs(5);

/// Takes the lock, and then the native tool's own, for this session, which keeps them until it ends.
/// The native ones are SQL expressions.
///
/// # Errors
/// [`Error::Locked`] with the holder, once `timeout` has passed; `None` waits for ever.
pub(super) async fn acquire(
    session: &Session,
    native: Vec<String>,
    timeout: Option<Duration>,
) -> Result<(), Error> {
    let keys: Vec<String> = [KEY.to_string()].into_iter().chain(native).collect();
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut spoken: Option<Instant> = None;
    while !try_lock(session, &keys).await? {
        let waited = started.elapsed();
        if timeout.is_some_and(|timeout| waited >= timeout) {
            return Err(Error::Locked { holder: holder(session, &keys).await?, waited });
        }
        let due = spoken.map_or(pause > FIRST_PAUSE * 8, |at| at.elapsed() >= SUMMARY);
        if due {
            let holder = holder(session, &keys).await?;
            tracing::info!("waiting for the migration lock, held by {holder}");
            spoken = Some(Instant::now());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
    if spoken.is_some() {
        tracing::info!("got the migration lock after {}", text::duration(started.elapsed()));
    }
    Ok(())
}

async fn try_lock(session: &Session, keys: &[String]) -> Result<bool, Error> {
    // CASE keeps the order. A lock that is held already is got again, which is no harm.
    let all = keys.iter().rfold("true".to_owned(), |rest, key| {
        format!("CASE WHEN pg_catalog.pg_try_advisory_lock({key}) THEN {rest} ELSE false END")
    });
    let rows = session
        .query(&format!("SELECT {all}"))
        .await
        .map_err(Error::refused("take the migration lock"))?;
    let value = rows.first().and_then(|rows| rows.first()?.first()?.as_deref());
    Ok(value == Some("t"))
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
