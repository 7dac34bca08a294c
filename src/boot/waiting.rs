//! Waiting for the database and the other targets, once or, if a connection is lost, more often.

use std::time::Duration;

use crate::database::{Database, Demand, Login};
use crate::error::Error;
use crate::phase::Phase;
use crate::wait::{self, Deadline, Target};

/// What is still to be waited for, and how long it has taken.
pub(super) struct Waiting<'a> {
    timeout: Option<Duration>,
    deadline: Deadline,
    targets: &'a [Target],
    elapsed: Duration,
    attempts: u32,
}

impl<'a> Waiting<'a> {
    /// Everything that `settings` name, from now on.
    pub(super) fn start(settings: &'a wait::Settings) -> Self {
        let wait::Settings { timeout, targets, .. } = settings;
        let deadline = Deadline::start(*timeout);
        Waiting { timeout: *timeout, deadline, targets, elapsed: Duration::ZERO, attempts: 0 }
    }

    /// Gives the next wait the whole timeout.
    pub(super) fn restart(&mut self) {
        self.deadline = Deadline::start(self.timeout);
    }

    /// Waits until the targets are ready and `database` accepts the login.
    ///
    /// # Errors
    /// [`Error::Wait`].
    pub(super) async fn log_in(
        &mut self,
        database: &Database,
        demand: Demand,
    ) -> Result<Login, Error> {
        Phase::Waiting.publish();
        let login = wait::for_database(database, demand, self.deadline);
        let targets = wait::for_targets(self.targets, self.deadline);
        let (ready, attempts) = tokio::try_join!(login, targets)?;
        self.are_ready(ready.attempts.max(attempts));
        Ok(ready.value)
    }

    /// Waits until the targets are ready.
    ///
    /// # Errors
    /// [`Error::Wait`].
    pub(super) async fn without_database(&mut self) -> Result<(), Error> {
        Phase::Waiting.publish();
        let attempts = wait::for_targets(self.targets, self.deadline).await?;
        self.are_ready(attempts);
        Ok(())
    }

    fn are_ready(&mut self, attempts: u32) {
        self.targets = &[];
        self.attempts += attempts;
        self.elapsed = self.deadline.elapsed();
    }

    /// How long it took and how many attempts; `None` if there was nothing to wait for.
    pub(super) fn total(&self) -> Option<(Duration, u32)> {
        (self.attempts > 0).then_some((self.elapsed, self.attempts))
    }
}
