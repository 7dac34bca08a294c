//! Waits until the database and other targets are ready: the loop of attempts, and its log lines.
//!
//! An attempt fails with a [`Failure`]; its [`Verdict`] says whether a retry can help. [`verdict`]
//! decides what is transient and what is final, [`target`] makes the attempts.

mod pace;
pub(crate) mod settings;
mod target;
mod verdict;

use std::fmt;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use crate::database::{Database, Demand, Login, connect};
use crate::exit::Exit;
use crate::retry::{Pauses, Policy, Silence};
use crate::text;
use pace::Pace;
pub(crate) use settings::{Settings, Target};
pub(crate) use target::{check_once, name};
use verdict::{Failure, Verdict};

/// How long a rejected login is retried: a new database container may still be creating its roles
/// and databases.
const GRACE: Duration = Duration::from_secs(5);

/// The time between two log lines that say that premain is still waiting.
const SUMMARY: Policy = Policy::doubling(Duration::from_secs(5), Duration::from_secs(5));

/// At most this many different reasons are logged between two summaries.
const REASONS: usize = 10;

/// When waiting began, and how long it may take; one for all targets together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    started: Instant,
    timeout: Option<Duration>,
}

impl Deadline {
    /// Starts now; with `None` there is no limit.
    pub(crate) fn start(timeout: Option<Duration>) -> Self {
        Deadline { started: Instant::now(), timeout }
    }

    /// The time since waiting began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn instant(&self) -> Option<tokio::time::Instant> {
        Some((self.started + self.timeout?).into())
    }
}

/// The result of waiting.
#[derive(Debug)]
pub(crate) struct Ready<T> {
    /// What the successful attempt returned.
    pub value: T,
    /// The number of attempts, including the successful one.
    pub attempts: u32,
}

/// A target did not become ready.
#[derive(Debug)]
pub(crate) struct Error {
    what: String,
    failure: Failure,
    attempts: u32,
    elapsed: Duration,
    exit: Exit,
}

impl Error {
    /// 69 after a timeout, otherwise by the reason of the last attempt's failure.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    /// The target, how long premain waited, the reason, and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Error { what, failure, attempts, elapsed, .. } = self;
        if self.exit == Exit::NotReady {
            write!(
                f,
                "{what} was not ready within {} ({}): {}",
                text::duration(*elapsed),
                text::count(*attempts as usize, "attempt"),
                failure.reason
            )?;
        } else {
            write!(f, "{what} cannot be used: {}", failure.reason)?;
        }
        if failure.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", failure.remedy) }
    }
}

/// Waits until `database` accepts the login and meets `demand`.
///
/// # Errors
/// When the deadline has passed, or as soon as a retry cannot help.
pub(crate) async fn for_database(
    database: &Database,
    demand: Demand,
    deadline: Deadline,
) -> Result<Ready<Login>, Error> {
    let what = format!("PostgreSQL ({})", database.origin);
    let no_answer = Failure::no_answer(format!("{database}: no answer"));
    // Boxed, because a login with TLS is larger than everything that awaits this.
    Box::pin(until(&what, no_answer, deadline, async || {
        connect(database, demand).await.map_err(|errors| verdict::of_attempt(&errors))
    }))
    .await
}

/// Waits for all targets concurrently. Returns the largest number of attempts that one took.
///
/// # Errors
/// That of the first target which is not ready in time, or for which a retry cannot help.
pub(crate) async fn for_targets(targets: &[Target], deadline: Deadline) -> Result<u32, Error> {
    let all = try_join_all(targets.iter().map(async |target| {
        let no_answer = Failure::no_answer("no answer");
        until(&name(target), no_answer, deadline, async || check_once(target).await).await
    }));
    Ok(all.await?.iter().map(|ready| ready.attempts).max().unwrap_or_default())
}

/// Repeats `attempt` until it succeeds, fails for good, or the deadline passes. `no_answer` is the
/// reason if not even the first attempt finishes in time.
async fn until<T>(
    what: &str,
    no_answer: Failure,
    deadline: Deadline,
    mut attempt: impl AsyncFnMut() -> Result<T, Failure>,
) -> Result<Ready<T>, Error> {
    let mut pauses = Pauses::new(Pace::Brisk.policy(Duration::ZERO));
    let mut report = Report::new(what, deadline);
    let mut rejected_since: Option<Instant> = None;
    loop {
        report.attempts += 1;
        let outcome = match deadline.instant() {
            None => attempt().await,
            Some(end) => match tokio::time::timeout_at(end, attempt()).await {
                Ok(outcome) => outcome,
                Err(_) => return Err(report.timed_out(no_answer)),
            },
        };
        let failure = match outcome {
            Ok(value) => return Ok(Ready { value, attempts: report.attempts }),
            Err(failure) => failure,
        };
        let pace = match failure.verdict {
            Verdict::Retry(pace) => {
                rejected_since = None;
                pace
            }
            Verdict::Grace(exit) => {
                if rejected_since.get_or_insert_with(Instant::now).elapsed() >= GRACE {
                    return Err(report.give_up(failure, exit));
                }
                Pace::Gentle
            }
            Verdict::Final(exit) => return Err(report.give_up(failure, exit)),
        };
        report.log(failure);
        pauses.follow(pace.policy(deadline.elapsed()));
        let pause = pauses.next();
        match deadline.instant() {
            Some(end) if end <= tokio::time::Instant::now() + pause => {
                tokio::time::sleep_until(end).await;
                return Err(report.timed_out(no_answer));
            }
            _ => tokio::time::sleep(pause).await,
        }
    }
}

/// Logs while waiting: a line when the reason changes, and a summary at intervals.
struct Report<'a> {
    what: &'a str,
    deadline: Deadline,
    attempts: u32,
    last: Option<Failure>,
    /// The reasons that were logged since the last summary, so that two that alternate are not
    /// logged each time.
    logged: Vec<String>,
    silence: Silence,
}

impl<'a> Report<'a> {
    fn new(what: &'a str, deadline: Deadline) -> Self {
        Report {
            what,
            deadline,
            attempts: 0,
            last: None,
            logged: Vec::new(),
            silence: Silence::new(SUMMARY),
        }
    }

    fn log(&mut self, failure: Failure) {
        let what = self.what;
        let reason = &failure.reason;
        if !self.logged.contains(reason) && self.logged.len() < REASONS {
            tracing::info!("waiting for {what}: {reason}");
            self.logged.push(reason.clone());
            self.silence.restart();
        } else if self.silence.is_over() {
            let (elapsed, attempts) = (text::duration(self.deadline.elapsed()), self.attempts);
            tracing::info!(
                "still waiting for {what} after {elapsed} ({attempts} attempts): {reason}"
            );
            self.logged = vec![reason.clone()];
        }
        self.last = Some(failure);
    }

    /// A login that was rejected until the end exits as such, even if the time was too short for
    /// the grace period.
    fn timed_out(mut self, no_answer: Failure) -> Error {
        let failure = self.last.take().unwrap_or(no_answer);
        let exit = match failure.verdict {
            Verdict::Grace(exit) => exit,
            Verdict::Retry(_) | Verdict::Final(_) => Exit::NotReady,
        };
        self.give_up(failure, exit)
    }

    fn give_up(self, failure: Failure, exit: Exit) -> Error {
        Error {
            what: self.what.to_owned(),
            failure,
            attempts: self.attempts,
            elapsed: self.deadline.elapsed(),
            exit,
        }
    }
}
