//! Watches a migration from a second session while it runs: for how long, what blocks it, how far it is. The migration's own
//! session is busy, and has no extra round trip.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::activity::{Activity, Blockers};
use crate::database::Session;
use crate::{log, text};

/// When to log, in seconds after the start, and then every minute: often enough to show that something happens, rarely enough
/// to keep the log readable.
const LOG_AT: [u64; 6] = [2, 5, 10, 20, 40, 60];
const MINUTE: u64 = 60;

/// A migration that takes less time than this is not worth a line.
const FIRST: Duration = Duration::from_secs(LOG_AT[0]);

/// The time between two queries: whatever blocks the migration must be known when its lock timeout ends the wait.
const PAUSE: Duration = Duration::from_secs(1);

/// How long one query may take, a login included: a full server or pool keeps it waiting.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Watches one migration over all of its attempts.
pub(super) struct Watch<'a> {
    session: &'a Session,
    /// `migration V3__add_orders`
    what: String,
    /// The time before the first query of an attempt, and between the others.
    first: Duration,
    pause: Duration,
    started: Instant,
    /// How many lines were due so far.
    logged: usize,
    observer: Observer,
    blockers: Blockers,
}

impl Drop for Watch<'_> {
    /// A signal may have ended [`Watch::during`].
    fn drop(&mut self) {
        log::clear_progress();
    }
}

/// The second session, opened when it is needed. Without one there is less to show, and nothing fails.
enum Observer {
    NotOpened,
    Open(Rc<Session>),
    Unavailable,
}

impl<'a> Watch<'a> {
    /// `lock_timeout` ends the server's wait, and the blockers can no longer be seen then: the first query comes before that.
    pub(super) fn new(session: &'a Session, what: String, lock_timeout: Duration) -> Self {
        let half = match lock_timeout {
            Duration::ZERO => FIRST,
            timeout => timeout / 2,
        };
        Watch {
            session,
            what,
            first: FIRST.min(half),
            pause: PAUSE.min(half).max(Duration::from_millis(5)),
            started: Instant::now(),
            logged: 0,
            observer: Observer::NotOpened,
            blockers: Blockers::default(),
        }
    }

    /// Waits for `work`, and reports meanwhile what it is doing.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        self.blockers = Blockers::default();
        let outcome = tokio::select! {
            biased;
            outcome = work => outcome,
            never = self.report() => match never {},
        };
        log::clear_progress();
        outcome
    }

    /// The sessions that blocked the last attempt when they were last asked for.
    pub(super) fn blockers(&self) -> &Blockers {
        &self.blockers
    }

    async fn report(&mut self) -> Infallible {
        let mut pause = self.first;
        loop {
            tokio::time::sleep(pause).await;
            pause = self.pause;
            let activity = match tokio::time::timeout(TIMEOUT, self.query_activity()).await {
                Ok(activity) => activity,
                Err(_) => {
                    self.observer = Observer::Unavailable;
                    Activity::default()
                }
            };
            let elapsed = self.started.elapsed();
            if elapsed < FIRST {
                continue;
            }
            let line = format!("{} runs for {}{activity}", self.what, text::duration(elapsed));
            let percent = activity.progress.and_then(|progress| progress.percent());
            let shown = log::show_progress(line.clone(), percent);
            if elapsed >= self.next_line() {
                while elapsed >= self.next_line() {
                    self.logged += 1;
                }
                if let Observer::Unavailable = self.observer {
                    // The server may have room for another session by now.
                    self.observer = Observer::NotOpened;
                }
                // The blockers are logged although the bar shows them, because the bar is cleared.
                if !shown || !activity.blockers.is_empty() {
                    tracing::info!("{line}");
                }
            }
        }
    }

    /// When the next line is due, after the start.
    fn next_line(&self) -> Duration {
        let minutes = (self.logged + 1).saturating_sub(LOG_AT.len()) as u64;
        let seconds = LOG_AT[self.logged.min(LOG_AT.len() - 1)];
        Duration::from_secs(seconds + minutes * MINUTE)
    }

    async fn query_activity(&mut self) -> Activity {
        if let Observer::NotOpened = self.observer {
            self.observer = match self.session.open_second().await {
                Ok(observer) => {
                    // The migration's own session shows every notice that matters.
                    let _ = observer.execute("SET client_min_messages = error").await;
                    Observer::Open(observer)
                }
                Err(error) => {
                    tracing::debug!("{}: no second session to watch it ({error})", self.what);
                    Observer::Unavailable
                }
            };
        }
        let (Observer::Open(observer), Some(backend)) = (&self.observer, self.session.backend())
        else {
            return Activity::default();
        };
        match Activity::query(observer, backend).await {
            Ok(activity) => {
                self.blockers.clone_from(&activity.blockers);
                activity
            }
            Err(error) => {
                tracing::debug!("{}: cannot be watched ({error})", self.what);
                self.observer = Observer::Unavailable;
                Activity::default()
            }
        }
    }
}
