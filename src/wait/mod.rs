//! Waiting until something is ready: the loop, and what it says meanwhile.
//!
//! One attempt's failure is a [`Refusal`]; its [`Verdict`] says whether another attempt can help.
//! What is transient and what is final stands in [`verdict`], how to ask in [`target`].

mod pace;
pub mod settings;
mod target;
mod verdict;

use std::fmt;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use crate::database::{Database, Demand, Login, connect};
use crate::exit::Exit;
use crate::retry::{Pauses, Policy, Silence};
use crate::text;
pub use pace::Pace;
pub use settings::{HttpUrl, Settings, Target};
pub use target::{ask as ask_once, name};
pub use verdict::{Refusal, Verdict};

/// How long a login may be refused before that is final: a fresh container may still be creating
/// its roles and databases.
const GRACE: Duration = Duration::from_secs(5);

/// How often to say that we are still waiting, at the least.
const SUMMARY: Policy = Policy::doubling(Duration::from_secs(5), Duration::from_secs(5));

/// How many reasons to tell between two summaries, of a server that always finds another one.
const REASONS: usize = 10;

/// When waiting began, and how long it may last; one for everything that is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    started: Instant,
    timeout: Option<Duration>,
}

impl Deadline {
    /// From now on; `None` is for ever.
    pub fn start(timeout: Option<Duration>) -> Self {
        Deadline { started: Instant::now(), timeout }
    }

    /// How long it has been.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn instant(&self) -> Option<tokio::time::Instant> {
        Some((self.started + self.timeout?).into())
    }
}

/// What was waited for is there.
#[derive(Debug)]
pub struct Ready<T> {
    /// What the successful attempt returned.
    pub value: T,
    /// How many attempts it took.
    pub attempts: u32,
}

/// What was waited for did not come.
#[derive(Debug)]
pub struct Error {
    what: String,
    refusal: Refusal,
    attempts: u32,
    elapsed: Duration,
    exit: Exit,
}

impl Error {
    /// 69 when time ran out, else what the refusal is worth.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    /// What, for how long, why, and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Error { what, refusal, attempts, elapsed, .. } = self;
        if self.exit == Exit::NotReady {
            write!(
                f,
                "{what} was not ready within {} ({}): {}",
                text::duration(*elapsed),
                text::count(*attempts as usize, "attempt"),
                refusal.reason
            )?;
        } else {
            write!(f, "{what} cannot be used: {}", refusal.reason)?;
        }
        if refusal.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", refusal.remedy) }
    }
}

/// Waits until `database` takes our login and meets `demand`.
///
/// # Errors
/// [`Error`], once the deadline has passed or as soon as waiting cannot help.
pub async fn for_database(
    database: &Database,
    demand: Demand,
    deadline: Deadline,
) -> Result<Ready<Login>, Error> {
    let what = format!("PostgreSQL ({})", database.origin);
    let silence = Refusal::silence(format!("{database}: no answer"));
    until(&what, silence, deadline, async || {
        connect(database, demand).await.map_err(|errors| verdict::of_attempt(&errors))
    })
    .await
}

/// Waits for all of these at once; returns how many attempts the most patient of them took.
///
/// # Errors
/// [`Error`] for the first that cannot be, or was not ready in time.
pub async fn for_targets(targets: &[Target], deadline: Deadline) -> Result<u32, Error> {
    let all = try_join_all(targets.iter().map(async |target| {
        let silence = Refusal::silence("no answer");
        until(&name(target), silence, deadline, async || target::ask(target).await).await
    }));
    Ok(all.await?.iter().map(|ready| ready.attempts).max().unwrap_or_default())
}

/// Asks until the answer is yes, is final, or comes too late; `silence` is what to say if none came.
async fn until<T>(
    what: &str,
    silence: Refusal,
    deadline: Deadline,
    mut attempt: impl AsyncFnMut() -> Result<T, Refusal>,
) -> Result<Ready<T>, Error> {
    let mut pauses = Pauses::new(Pace::Brisk.policy(Duration::ZERO));
    let mut report = Report::new(what, deadline);
    let mut refused_since: Option<Instant> = None;
    loop {
        report.attempts += 1;
        let outcome = match deadline.instant() {
            None => attempt().await,
            Some(end) => match tokio::time::timeout_at(end, attempt()).await {
                Ok(outcome) => outcome,
                Err(_) => return Err(report.out_of_time(silence)),
            },
        };
        let refusal = match outcome {
            Ok(value) => return Ok(Ready { value, attempts: report.attempts }),
            Err(refusal) => refusal,
        };
        let pace = match refusal.verdict {
            Verdict::Retry(pace) => {
                refused_since = None;
                pace
            }
            Verdict::Grace(exit) => {
                if refused_since.get_or_insert_with(Instant::now).elapsed() >= GRACE {
                    return Err(report.gave_up(refusal, exit));
                }
                Pace::Gentle
            }
            Verdict::Final(exit) => return Err(report.gave_up(refusal, exit)),
        };
        report.refused(refusal);
        pauses.follow(pace.policy(deadline.elapsed()));
        let pause = pauses.next();
        match deadline.instant() {
            Some(end) if end <= tokio::time::Instant::now() + pause => {
                tokio::time::sleep_until(end).await;
                return Err(report.out_of_time(silence));
            }
            _ => tokio::time::sleep(pause).await,
        }
    }
}

/// What is said while waiting: a line when the reason changes, a summary now and then.
struct Report<'a> {
    what: &'a str,
    deadline: Deadline,
    attempts: u32,
    last: Option<Refusal>,
    /// The reasons that were told since the last summary: two that take turns are not a line each.
    told: Vec<String>,
    silence: Silence,
}

impl<'a> Report<'a> {
    fn new(what: &'a str, deadline: Deadline) -> Self {
        Report {
            what,
            deadline,
            attempts: 0,
            last: None,
            told: Vec::new(),
            silence: Silence::new(SUMMARY),
        }
    }

    fn refused(&mut self, refusal: Refusal) {
        let what = self.what;
        let reason = &refusal.reason;
        if !self.told.contains(reason) && self.told.len() < REASONS {
            tracing::info!("waiting for {what}: {reason}");
            self.told.push(reason.clone());
            self.silence.restart();
        } else if self.silence.is_over() {
            let (elapsed, attempts) = (text::duration(self.deadline.elapsed()), self.attempts);
            tracing::info!(
                "still waiting for {what} after {elapsed} ({attempts} attempts): {reason}"
            );
            self.told = vec![reason.clone()];
        }
        self.last = Some(refusal);
    }

    /// A login that is refused to the end is what it is, however short the time was.
    fn out_of_time(mut self, silence: Refusal) -> Error {
        let refusal = self.last.take().unwrap_or(silence);
        let exit = match refusal.verdict {
            Verdict::Grace(exit) => exit,
            Verdict::Retry(_) | Verdict::Final(_) => Exit::NotReady,
        };
        self.gave_up(refusal, exit)
    }

    fn gave_up(self, refusal: Refusal, exit: Exit) -> Error {
        Error {
            what: self.what.to_owned(),
            refusal,
            attempts: self.attempts,
            elapsed: self.deadline.elapsed(),
            exit,
        }
    }
}
