//! What another session sees of a backend that is busy: what it waits for, who is in the way, how far
//! it is.

use std::fmt;
use std::time::Duration;

use crate::database::{QueryError, Session};
use crate::text;

/// What there was to see of a backend at one moment.
#[derive(Debug, Default, Clone)]
pub(super) struct Activity {
    /// `Lock: relation`, `Timeout: PgSleep`; nothing while it computes.
    wait: Option<String>,
    pub(super) blockers: Vec<Blocker>,
    pub(super) progress: Option<Progress>,
}

/// A session that holds, or has asked for before us, what the backend waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blocker {
    pid: i32,
    /// `psql, app@10.0.0.5`
    who: String,
    /// `idle in transaction`
    state: String,
    /// How old its transaction is.
    age: Option<Duration>,
    /// The beginning of its query.
    query: String,
}

/// How far a command is that tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Progress {
    /// `index of orders`
    what: String,
    /// `scanning table`
    phase: String,
    done: u64,
    /// Zero where the phase has no end that is known.
    total: u64,
    /// `blocks`
    unit: String,
}

impl Activity {
    /// Looks at `backend` from `observer`: one round trip.
    pub(super) async fn of(observer: &Session, backend: i32) -> Result<Activity, QueryError> {
        let waits = who_is_in_the_way(backend);
        let results = match observer.query(&format!("{waits}; {}", how_far(backend))).await {
            // PostgreSQL before 14 tells less.
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
                who: text(1),
                state: text(2),
                age: text(3).parse().ok().map(Duration::from_secs),
                query: excerpt(&text(4)),
            }
        });
        Ok(Activity {
            wait: value(0, 0, 0),
            blockers: blockers.collect(),
            progress: value(2, 0, 0).map(|what| Progress {
                what,
                phase: value(2, 0, 1).unwrap_or_default(),
                done: number(0, 2),
                total: number(0, 3),
                unit: value(2, 0, 4).unwrap_or_default(),
            }),
        })
    }
}

/// Two statements: what it waits for, and for whom.
fn who_is_in_the_way(backend: i32) -> String {
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

/// What the server tells of commands that tell. A relation that the migration itself made has no name
/// yet that others can see.
fn how_far(backend: i32) -> String {
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
    let phases = phases.map(|(what, view, phase, done, total, unit)| {
        format!(
            "SELECT {what} || coalesce(c.oid::pg_catalog.regclass::text, 'a new table'), \
                    {phase}, {done}, {total}, '{unit}' \
             FROM pg_catalog.pg_stat_progress_{view} p \
             LEFT JOIN pg_catalog.pg_class c ON c.oid = p.relid WHERE p.pid = {backend}"
        )
    });
    format!(
        "SELECT * FROM ({}) AS progress (what, phase, done, total, unit) \
         ORDER BY total > 0 DESC LIMIT 1",
        phases.join(" UNION ALL ")
    )
}

/// The beginning of a query, in one line, up to its first literal: what others write into their
/// strings, passwords among it, belongs into nobody's log.
fn excerpt(query: &str) -> String {
    /// As many characters.
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
    /// Goes behind `migration 3 add_orders runs for 5s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(progress) = &self.progress {
            write!(f, ": {progress}")?;
        }
        match &self.wait {
            wait if !self.blockers.is_empty() => {
                let wait = wait.as_deref().unwrap_or("Lock");
                write!(f, ", waiting ({wait}) behind {}", list(&self.blockers))
            }
            // What gets on need not be told what each moment is spent on.
            Some(wait) if self.progress.is_none() => write!(f, " ({wait})"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Progress {
    /// `index of orders: 45% (scanning table, 4500 of 10000 blocks)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Progress { what, phase, done, total, unit } = self;
        match self.percent() {
            Some(percent) => write!(f, "{what}: {percent}% ({phase}, {done} of {total} {unit})"),
            None if *done > 0 => write!(f, "{what}: {phase}, {done} {unit}"),
            None => write!(f, "{what}: {phase}"),
        }
    }
}

impl Progress {
    /// Of this phase; a command may have several.
    pub(super) fn percent(&self) -> Option<u64> {
        u128::from(self.done.min(self.total))
            .saturating_mul(100)
            .checked_div(self.total.into())
            .and_then(|percent| u64::try_from(percent).ok())
    }
}

/// All of them, as far as that is of use.
pub(super) fn list(blockers: &[Blocker]) -> String {
    /// The oldest come first.
    const MOST: usize = 4;
    let mut text: Vec<_> = blockers.iter().take(MOST).map(ToString::to_string).collect();
    if blockers.len() > MOST {
        text.push(format!("{} more", blockers.len() - MOST));
    }
    text.join(" and ")
}

impl fmt::Display for Blocker {
    /// `pid 811 (psql, app@10.0.0.5, idle in transaction, begun 3s ago: SELECT * FROM orders)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Blocker { pid, who, state, age, query } = self;
        if *pid == 0 {
            return f.write_str("a prepared transaction (see pg_prepared_xacts)");
        }
        write!(f, "pid {pid}")?;
        if who.is_empty() {
            return Ok(());
        }
        write!(f, " ({who}")?;
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
    fn an_excerpt_is_one_line_without_anybody_s_literals() {
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
    fn a_percentage_is_told_where_there_is_an_end() {
        let progress = |done, total| Progress {
            what: "index of orders".into(),
            phase: "scanning table".into(),
            done,
            total,
            unit: "blocks".into(),
        };
        let told = |done, total| progress(done, total).to_string();
        assert_eq!(told(45, 100), "index of orders: 45% (scanning table, 45 of 100 blocks)");
        assert_eq!(told(7, 0), "index of orders: scanning table, 7 blocks");
        assert_eq!(told(0, 0), "index of orders: scanning table");
        assert_eq!(progress(u64::MAX, u64::MAX).percent(), Some(100));
    }

    proptest! {
        #[test]
        fn nothing_behind_a_quote_is_ever_in_an_excerpt(before in "[a-z \n]{0,90}", secret in "[A-Z]{1,9}") {
            let query = format!("{before}'{secret}'");
            prop_assert!(!excerpt(&query).contains(&secret));
        }
    }
}
