//! Watches a migration that takes its time from a second session: how long it runs, on whom it waits,
//! how far it is. The migration's own session is busy, and costs no round trip more.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::activity::{Activity, Blocker, list};
use crate::database::Session;
use crate::{log, text};

/// What takes less is not worth a word.
const FIRST: Duration = Duration::from_secs(SPEAK[0]);

/// When to speak, in seconds from the beginning, and then every minute: a log should tell that
/// something happens, and stay readable.
const SPEAK: [u64; 6] = [2, 5, 10, 20, 40, 60];
const MINUTE: u64 = 60;

/// How often to look, in between: what is in the way must be known when the wait is given up.
const LOOK: Duration = Duration::from_secs(1);

/// How long a look may take; a full server or pool lets one wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// Watches one migration, however often it is tried.
pub(super) struct Watch<'a> {
    session: &'a Session,
    /// `migration 3 add_orders`
    what: String,
    /// When to look first, and how often then.
    first: Duration,
    pause: Duration,
    started: Instant,
    /// How often it was spoken.
    spoken: usize,
    observer: Observer,
    blockers: Vec<Blocker>,
}

impl Drop for Watch<'_> {
    /// A signal may have come in between.
    fn drop(&mut self) {
        log::progress_ended();
    }
}

/// The second session, opened when it is needed. Without one there is less to tell, and no harm done.
enum Observer {
    NotYet,
    Looking(Rc<Session>),
    Refused,
}

impl<'a> Watch<'a> {
    /// `lock_timeout` ends the server's waiting, and nobody is in the way any more: the look comes
    /// before that.
    pub(super) fn new(session: &'a Session, what: String, lock_timeout: Duration) -> Self {
        let half = match lock_timeout {
            Duration::ZERO => FIRST,
            timeout => timeout / 2,
        };
        Watch {
            session,
            what,
            first: FIRST.min(half),
            pause: LOOK.min(half).max(Duration::from_millis(5)),
            started: Instant::now(),
            spoken: 0,
            observer: Observer::NotYet,
            blockers: Vec::new(),
        }
    }

    /// Waits for `work`, and tells meanwhile what it waits for.
    pub(super) async fn over<T>(&mut self, work: impl Future<Output = T>) -> T {
        self.blockers.clear();
        let outcome = tokio::select! {
            biased;
            outcome = work => outcome,
            never = self.look_on() => match never {},
        };
        log::progress_ended();
        outcome
    }

    /// Who was in the way when it was looked last: ` behind pid 12 (…)`, or nothing.
    pub(super) fn behind(&self) -> String {
        match self.blockers.as_slice() {
            [] => String::new(),
            blockers => format!(" behind {}", list(blockers)),
        }
    }

    async fn look_on(&mut self) -> Infallible {
        let mut pause = self.first;
        loop {
            tokio::time::sleep(pause).await;
            pause = self.pause;
            let activity = match tokio::time::timeout(PATIENCE, self.look()).await {
                Ok(activity) => activity,
                Err(_) => {
                    self.observer = Observer::Refused;
                    Activity::default()
                }
            };
            let elapsed = self.started.elapsed();
            if elapsed < FIRST {
                continue;
            }
            let story = format!("{} runs for {}{activity}", self.what, text::duration(elapsed));
            let seen = log::progress(story.clone(), activity.progress.and_then(|p| p.percent()));
            if elapsed >= self.due() {
                while elapsed >= self.due() {
                    self.spoken += 1;
                }
                if let Observer::Refused = self.observer {
                    // The server may have had no room for a moment.
                    self.observer = Observer::NotYet;
                }
                // What is in the way outlasts the bar.
                if !seen || !activity.blockers.is_empty() {
                    tracing::info!("{story}");
                }
            }
        }
    }

    /// When to speak next.
    fn due(&self) -> Duration {
        let later = (self.spoken + 1).saturating_sub(SPEAK.len()) as u64;
        let early = SPEAK[self.spoken.min(SPEAK.len() - 1)];
        Duration::from_secs(early + later * MINUTE)
    }

    /// What there is to see now.
    async fn look(&mut self) -> Activity {
        if let Observer::NotYet = self.observer {
            self.observer = match self.session.open_second().await {
                Ok(observer) => {
                    // Whatever it is told, the migration's own session is told as well.
                    let _ = observer.execute("SET client_min_messages = error").await;
                    Observer::Looking(observer)
                }
                Err(error) => {
                    tracing::debug!("{}: no second session to watch it ({error})", self.what);
                    Observer::Refused
                }
            };
        }
        let (Observer::Looking(observer), Some(backend)) = (&self.observer, self.session.backend())
        else {
            return Activity::default();
        };
        match Activity::of(observer, backend).await {
            Ok(activity) => {
                self.blockers.clone_from(&activity.blockers);
                activity
            }
            Err(error) => {
                tracing::debug!("{}: cannot be watched ({error})", self.what);
                self.observer = Observer::Refused;
                Activity::default()
            }
        }
    }
}
