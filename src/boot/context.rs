//! What every step before the application needs, and how a command gets its session.

use crate::config::Config;
use crate::database::{self, Database, Demand, Login, Session};
use crate::error::Error;
use crate::migrate::{self, Migrator, Source};
use crate::shutdown::Shutdown;
use crate::sys::Inherited;
use crate::wait::{self, Deadline};

/// What every step before the application needs.
pub(crate) struct Context<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// How premain's own caller left the signals, for the processes that premain starts.
    pub inherited: &'a Inherited,
    /// Where signals arrive.
    pub shutdown: &'a Shutdown,
}

impl Context<'_> {
    /// Waits for the database and does `work` in a session, for `premain COMMAND`.
    ///
    /// # Errors
    /// [`Error::NoDatabase`], or as [`database::hold()`].
    pub(crate) async fn with_session<T>(
        &self,
        command: &'static str,
        during: &'static str,
        work: impl AsyncFnOnce(&Session) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let database = self.config.database.as_ref().ok_or(Error::NoDatabase(command))?;
        database::hold(self.shutdown, self.log_in(database), during, work).await
    }

    async fn log_in(&self, database: &Database) -> Result<Login, Error> {
        let deadline = Deadline::start(self.config.wait.timeout);
        Ok(wait::for_database(database, Demand::Login, deadline).await?.value)
    }

    /// Finds the migrations and does `work` on them in a session, as [`Context::with_session`].
    /// Returns `None` if there are no migrations.
    ///
    /// # Errors
    /// What is wrong with the migrations, or as [`Context::with_session`].
    pub(crate) async fn with_migrator<T>(
        &self,
        command: &'static str,
        during: &'static str,
        work: impl AsyncFnOnce(&Migrator<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let settings = &self.config.migrate;
        let source = Source::find(settings).map_err(migrate::Error::from)?;
        self.with_session(command, during, async |session| match &source {
            Some(source) => work(&Migrator::new(session, source, settings)).await.map(Some),
            None => Ok(None),
        })
        .await
    }
}
