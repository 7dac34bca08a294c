//! What a second session sees of a busy backend: what it waits for, which sessions block it, how far its command is.

use std::fmt;
use std::time::Duration;

use crate::database::{QueryError, Session};
use crate::text;

/// What a backend was doing at one moment.
#[derive(Debug, Default, Clone)]
pub(super) struct Activity {
    /// `Lock: relation`, `Timeout: PgSleep`; `None` while it computes.
    wait: Option<String>,
    pub(super) blockers: Blockers,
    pub(super) progress: Option<CommandProgress>,
}

/// The sessions that a backend waits for, those with the oldest transactions first.
#[derive(Debug, Default, Clone)]
pub(super) struct Blockers(Vec<Blocker>);

/// A session that holds the lock that the backend waits for, or is before it in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blocker {
    pid: i32,
    /// Application, user and address: `psql, app@10.0.0.5`
    client: String,
    /// `idle in transaction`
    state: String,
    /// How long ago its transaction began.
    age: Option<Duration>,
    /// The beginning of its query.
    query: String,
}

/// How far a command is that reports its progress, such as CREATE INDEX.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommandProgress {
    /// `index of orders`
    command: String,
    /// `scanning table`
    phase: String,
    done: u64,
    /// Zero if the phase has no known end.
    total: u64,
    /// `blocks`
    unit: String,
}

impl Activity {
    /// Asks for the activity of `backend` in the session `observer`: one round trip.
    pub(super) async fn query(observer: &Session, backend: i32) -> Result<Activity, QueryError> {
        let waits = query_waits(backend);
        let results = match observer.query(&format!("{waits}; {}", query_progress(backend))).await {
            // PostgreSQL before 14 has fewer of these views and columns.
            Err(error) if matches!(error.code(), Some("42P01" | "42703")) => {
                observer.query(&waits).await?
            }
            results => results?,
        };
        let value = |rows: usize, row: usize, column: usize| {
            results.get(rows).and_then(|rows| rows.get(row)?.get(column)?.clone())
        };
        let number =
            |row, column| value(2, row, column).and_then(|v| v.parse().ok()).unwrap_or_default();
        let blockers = (0..results.get(1).map_or(0, Vec::len)).map(|row| {
            let text = |column| value(1, row, column).unwrap_or_default();
            Blocker {
                pid: text(0).parse().unwrap_or_default(),
                client: text(1),
                state: text(2),
                age: text(3).parse().ok().map(Duration::from_secs),
                query: excerpt(&text(4)),
            }
        });
        Ok(Activity {
            wait: value(0, 0, 0),
            blockers: Blockers(blockers.collect()),
            progress: value(2, 0, 0).map(|command| CommandProgress {
                command,
                phase: value(2, 0, 1).unwrap_or_default(),
                done: number(0, 2),
                total: number(0, 3),
                unit: value(2, 0, 4).unwrap_or_default(),
            }),
        })
    }
}

/// Two statements: what the backend waits for, and which sessions block it.
fn query_waits(backend: i32) -> String {
    format!(
        "SELECT wait_event_type || ': ' || wait_event \
         FROM pg_catalog.pg_stat_activity WHERE pid = {backend}; \
         SELECT b.pid, \
                concat_ws(', ', nullif(a.application_name, ''), \
                          coalesce(a.usename || '@' || coalesce(host(a.client_addr), 'local'), \
                                   a.backend_type)), \
                coalesce(a.state, ''), \
                trunc(extract(epoch FROM clock_timestamp() - a.xact_start)), a.query \
         FROM (SELECT DISTINCT unnest(pg_catalog.pg_blocking_pids({backend}))) AS b (pid) \
         LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid \
         ORDER BY a.xact_start, b.pid"
    )
}

/// The statement that reads the backend's row in the server's progress views. A relation that the migration itself created
/// has no name yet that another session can see.
fn query_progress(backend: i32) -> String {
    let index = "'index of '";
    let phases = [
        (index, "create_index", "phase", "tuples_done", "tuples_total", "tuples"),
        (index, "create_index", "phase", "blocks_done", "blocks_total", "blocks"),
        (index, "create_index", "phase", "lockers_done", "lockers_total", "transactions"),
        (
            "lower(command) || ' of '",
            "cluster",
            "phase",
            "heap_blks_scanned",
            "heap_blks_total",
            "blocks",
        ),
        ("'vacuum of '", "vacuum", "phase", "heap_blks_scanned", "heap_blks_total", "blocks"),
        ("'analyze of '", "analyze", "phase", "sample_blks_scanned", "sample_blks_total", "blocks"),
        ("'copy of '", "copy", "command", "bytes_processed", "bytes_total", "bytes"),
    ];
    let phases = phases.map(|(command, view, phase, done, total, unit)| {
        format!(
            "SELECT {command} || coalesce(c.oid::pg_catalog.regclass::text, 'a new table'), \
                    {phase}, {done}, {total}, '{unit}' \
             FROM pg_catalog.pg_stat_progress_{view} p \
             LEFT JOIN pg_catalog.pg_class c ON c.oid = p.relid WHERE p.pid = {backend}"
        )
    });
    format!(
        "SELECT * FROM ({}) AS progress (command, phase, done, total, unit) \
         ORDER BY total > 0 DESC LIMIT 1",
        phases.join(" UNION ALL ")
    )
}

/// The beginning of a query, in one line, up to its first literal: literals of other sessions may be passwords, and do not
/// belong in this log.
fn excerpt(query: &str) -> String {
    /// In characters.
    const LENGTH: usize = 80;
    let mut characters = query.char_indices().peekable();
    let mut end = query.len();
    while let Some((at, character)) = characters.next() {
        let parameter = characters.peek().is_some_and(|(_, next)| next.is_ascii_digit());
        if character == '\'' || (character == '$' && !parameter) {
            end = at;
            break;
        }
    }
    let line = query[..end].split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text: String = line.chars().take(LENGTH).collect();
    if text.len() < line.len() {
        text.push('…');
    } else if end < query.len() {
        text.push_str(" …");
    }
    text
}

impl fmt::Display for Activity {
    /// Follows `migration V3__add_orders runs for 5s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(progress) = &self.progress {
            write!(f, ": {progress}")?;
        }
        match &self.wait {
            wait if !self.blockers.is_empty() => {
                write!(f, ", waiting ({}){}", wait.as_deref().unwrap_or("Lock"), self.blockers)
            }
            // While it makes progress, what it waits for at each moment is of no interest.
            Some(wait) if self.progress.is_none() => write!(f, " ({wait})"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for CommandProgress {
    /// `index of orders: 45% (scanning table, 4500 of 10000 blocks)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CommandProgress { command, phase, done, total, unit } = self;
        match self.percent() {
            Some(percent) => write!(f, "{command}: {percent}% ({phase}, {done} of {total} {unit})"),
            None if *done > 0 => write!(f, "{command}: {phase}, {done} {unit}"),
            None => write!(f, "{command}: {phase}"),
        }
    }
}

impl CommandProgress {
    /// The percentage of the current phase; a command may have several phases.
    pub(super) fn percent(&self) -> Option<u64> {
        u128::from(self.done.min(self.total))
            .saturating_mul(100)
            .checked_div(self.total.into())
            .and_then(|percent| u64::try_from(percent).ok())
    }
}

impl Blockers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Blockers {
    /// `, blocked by pid 811 (…) and pid 12 (…)`, or nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 4;
        let mut shown: Vec<_> = self.0.iter().take(MOST).map(ToString::to_string).collect();
        if self.0.len() > MOST {
            shown.push(format!("{} more", self.0.len() - MOST));
        }
        if shown.is_empty() { Ok(()) } else { write!(f, ", blocked by {}", shown.join(" and ")) }
    }
}

impl fmt::Display for Blocker {
    /// `pid 811 (psql, app@10.0.0.5, idle in transaction, begun 3s ago: SELECT * FROM orders)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Blocker { pid, client, state, age, query } = self;
        if *pid == 0 {
            return f.write_str("a prepared transaction (see pg_prepared_xacts)");
        }
        write!(f, "pid {pid}")?;
        if client.is_empty() {
            return Ok(());
        }
        write!(f, " ({client}")?;
        if !state.is_empty() {
            write!(f, ", {state}")?;
        }
        if let Some(age) = age {
            write!(f, ", begun {} ago", text::duration(*age))?;
        }
        if !query.is_empty() {
            write!(f, ": {query}")?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_excerpt_is_one_line_without_literals() {
        for (query, text) in [
            ("SELECT *\n\tFROM  t", "SELECT * FROM t"),
            ("ALTER ROLE app PASSWORD 'hunter2'", "ALTER ROLE app PASSWORD …"),
            ("ALTER ROLE app PASSWORD $$hunter2$$", "ALTER ROLE app PASSWORD …"),
            ("-- don't\nALTER ROLE app PASSWORD 'hunter2'", "-- don …"),
            ("UPDATE t SET a = $1 WHERE b = $2", "UPDATE t SET a = $1 WHERE b = $2"),
            ("", ""),
        ] {
            assert_eq!(excerpt(query), text);
        }
        assert_eq!(excerpt(&"é".repeat(100)), format!("{}…", "é".repeat(80)));
    }

    #[test]
    fn a_percentage_is_shown_if_the_end_is_known() {
        let progress = |done, total| CommandProgress {
            command: "index of orders".into(),
            phase: "scanning table".into(),
            done,
            total,
            unit: "blocks".into(),
        };
        let shown = |done, total| progress(done, total).to_string();
        assert_eq!(shown(45, 100), "index of orders: 45% (scanning table, 45 of 100 blocks)");
        assert_eq!(shown(7, 0), "index of orders: scanning table, 7 blocks");
        assert_eq!(shown(0, 0), "index of orders: scanning table");
        assert_eq!(progress(u64::MAX, u64::MAX).percent(), Some(100));
    }

    proptest! {
        #[test]
        fn an_excerpt_ends_before_the_first_quote(before in "[a-z \n]{0,90}", secret in "[A-Z]{1,9}") {
            let query = format!("{before}'{secret}'");
            prop_assert!(!excerpt(&query).contains(&secret));
        }
    }
}
