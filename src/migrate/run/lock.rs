//! The migration lock: an advisory lock that lets one replica migrate while the others wait.
//!
//! It is polled. A session that blocks in `pg_advisory_lock` holds a snapshot; if the replica with the lock runs CREATE
//! INDEX CONCURRENTLY, that waits for the snapshot: a deadlock.

use std::time::{Duration, Instant};

use tokio_postgres::error::DbError;

use super::pooler;
use crate::database::Session;
use crate::migrate::error::Error;
use crate::migrate::settings::Settings;
use crate::retry::{Pauses, Policy, Silence};
use crate::text;

/// "premain" in ASCII: one lock for each database, whatever the history table.
const KEY: i64 = 0x0070_7265_6d61_696e;

/// The pauses between two attempts.
const PAUSES: Policy = Policy::doubling(Duration::from_millis(10), Duration::from_millis(250));

/// A wait shorter than this is not worth a log line.
const SHORT: Duration = Duration::from_millis(150);

/// The time between two log lines about the holder of the lock.
const SILENCE: Policy = Policy::doubling(Duration::from_secs(5), Duration::from_mins(1));

/// What an error of the server contains if the statement of [`Lock::guard`] failed.
const LOST: &str = "premain no longer holds the migration lock";

/// The migration lock and the native tool's own locks, for the messages that apply migrations. A script may release all locks of
/// its session: `pg_advisory_unlock_all()`.
#[derive(Clone)]
pub(crate) struct Lock {
    /// SQL expressions of type `bigint`.
    keys: Vec<String>,
}

impl Lock {
    /// `native` are SQL expressions of type `bigint`.
    pub(crate) fn new(native: Vec<String>) -> Lock {
        Lock { keys: [KEY.to_string()].into_iter().chain(native).collect() }
    }

    /// The condition, in SQL, that this session holds the migration lock.
    pub(super) fn is_held() -> String {
        format!(
            "EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 \
             AND classid = {} AND objid = {} AND pid = pg_catalog.pg_backend_pid() AND database = \
             (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))",
            KEY >> 32,
            KEY & 0xffff_ffff
        )
    }

    /// The statement that fails if the session no longer holds the migration lock: another replica may then apply the same
    /// migration. With `or_take` it takes the lock again if it is free.
    pub(super) fn guard(or_take: bool) -> String {
        let take = format!(" OR pg_catalog.pg_try_advisory_lock({KEY})");
        // Without a function that is not immutable, the server would evaluate this although the lock is held.
        format!(
            "SELECT CASE WHEN {}{} THEN true \
             ELSE ('{LOST}' || pg_catalog.left(pg_catalog.version(), 0))::boolean END",
            Lock::is_held(),
            if or_take { &take } else { "" }
        )
    }

    /// Whether this is the error of [`Lock::guard`].
    pub(super) fn is_lost(error: &DbError) -> bool {
        error.code().code() == "22P02" && error.message().contains(LOST)
    }

    /// The statements before and after one that may release the locks, in the same transaction. The transaction holds them
    /// meanwhile.
    pub(super) fn around(&self) -> [String; 2] {
        ["pg_advisory_xact_lock", "pg_advisory_lock"].map(|function| {
            let calls = self.keys.iter().map(|key| format!("pg_catalog.{function}({key})"));
            format!("SELECT {}", calls.collect::<Vec<_>>().join(", "))
        })
    }
}

/// Takes the lock, and then the native tool's own locks, for this session, which keeps them until it ends.
///
/// # Errors
/// [`Error::Locked`] with the holder after `timeout`; `None` waits for ever. [`Error::Pooled`] if a pooler does not keep the
/// session for premain.
pub(crate) async fn acquire(
    session: &Session,
    lock: &Lock,
    timeout: Option<Duration>,
) -> Result<(), Error> {
    let keys = &lock.keys;
    let started = Instant::now();
    let mut pauses = Pauses::new(PAUSES);
    let mut silence: Option<Silence> = None;
    let mut backend = session.announced_backend().await;
    let mut pooler_checked = false;
    loop {
        match try_lock(session, backend, keys).await? {
            LockState::Taken => break,
            LockState::OtherBackend(_) if pooler_checked => return Err(pooler::switched(session)),
            LockState::OtherBackend(actual) => {
                pooler::check(session, actual).await?;
                (backend, pooler_checked) = (Some(actual), true);
                continue;
            }
            LockState::Busy => {}
        }
        let waited = started.elapsed();
        if timeout.is_some_and(|timeout| waited >= timeout) {
            return Err(Error::Locked { holder: holder(session, keys).await?, waited });
        }
        let due = silence.as_mut().map_or(waited > SHORT, Silence::is_over);
        if due {
            let holder = holder(session, keys).await?;
            if silence.is_none() {
                tracing::info!("waiting for the migration lock, held by {holder}");
                silence = Some(Silence::new(SILENCE));
            } else {
                let waited = text::duration(waited);
                tracing::info!(
                    "still waiting for the migration lock after {waited}, held by {holder}"
                );
            }
        }
        tokio::time::sleep(pauses.next()).await;
    }
    if let Some(backend) = backend {
        session.set_backend(backend);
    }
    if silence.is_some() {
        tracing::info!("got the migration lock after {}", text::duration(started.elapsed()));
    }
    Ok(())
}

/// Takes the migration lock alone, for hooks that run in one replica at a time although there are no migrations. The session
/// keeps it until it ends.
///
/// # Errors
/// [`Error::Locked`], or what the server says.
pub(crate) async fn hold_lock(session: &Session, settings: &Settings) -> Result<(), Error> {
    acquire(session, &Lock::new(Vec::new()), settings.lock_timeout).await
}

/// What one attempt to take the lock found.
enum LockState {
    Taken,
    Busy,
    /// Another server process than the expected one answered, and did not take the lock.
    OtherBackend(i32),
}

/// One attempt, one round trip. Only the server process `backend` takes the lock: another one may serve another client next.
async fn try_lock(
    session: &Session,
    backend: Option<i32>,
    keys: &[String],
) -> Result<LockState, Error> {
    // CASE keeps the order. Taking a lock again that this session holds does no harm.
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
        .map_err(Error::statement("take the migration lock"))?;
    let row = rows.first().and_then(|rows| rows.first());
    let column = |index: usize| row.and_then(|row| row.get(index)?.as_deref());
    Ok(match column(1) {
        Some("t") => LockState::Taken,
        Some(_) => LockState::Busy,
        None => {
            LockState::OtherBackend(column(0).and_then(|pid| pid.parse().ok()).unwrap_or_default())
        }
    })
}

/// The session that holds the lock: `pid 12 (premain, app@10.0.0.5, connected since 12:00:01)`.
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
    let rows = session
        .query(&sql)
        .await
        .map_err(Error::statement("ask which session holds the migration lock"))?;
    let Some(row) = rows.first().and_then(|rows| rows.first()) else {
        return Ok("no session any more".to_owned());
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
