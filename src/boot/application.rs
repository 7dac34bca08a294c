//! Finds the application before anything is done for it, and explains why it was not found.

use super::context::Context;
use super::hooks::Moment;
use crate::config::{Application, Command, Config, Meant};
use crate::error::Error;
use crate::launch;

/// Finds out, before anything else is done, whether the application can be executed. It need not be
/// there yet if a hook may create it.
///
/// # Errors
/// [`Error::Launch`], or [`Error::Usage`] for a misspelled subcommand.
pub(super) fn find_first(config: &Config, application: &Application) -> Result<(), Error> {
    let found = launch::find(&config.launch, &application.words);
    match found {
        Err(launch::Error::NotFound { .. } | launch::Error::CannotExecute { .. })
            if config.hooks.are_any() && application.meant().is_none() =>
        {
            Ok(())
        }
        found => found.map_err(|error| explain(application, error)),
    }
}

impl Context<'_> {
    /// Finds the application again after the last hook that could create it.
    ///
    /// # Errors
    /// As [`find_first`].
    pub(super) fn find_application_after(&self, moment: Moment) -> Result<(), Error> {
        let Command::Run(application) = &self.config.command else { return Ok(()) };
        let later = [Moment::BeforeMigrate(0), Moment::AfterMigrate(0), Moment::Entrypoint];
        let later = match moment {
            Moment::Generate => &later[..],
            Moment::BeforeMigrate(_) => &later[1..],
            // Now it is executed, which shows it as well.
            Moment::AfterMigrate(_) | Moment::Entrypoint => return Ok(()),
        };
        if !self.has_hooks(moment) || later.iter().any(|later| self.has_hooks(*later)) {
            return Ok(());
        }
        launch::find(&self.config.launch, &application.words)
            .map_err(|error| explain(application, error))
    }
}

/// The error with what was meant instead, if that can be guessed.
pub(super) fn explain(application: &Application, error: launch::Error) -> Error {
    let (launch::Error::NotFound { program, why }, Some(meant)) = (&error, application.meant())
    else {
        return error.into();
    };
    match meant {
        Meant::Misspelled(name) => Error::Usage(format!("{error}; did you mean 'premain {name}'?")),
        Meant::Subcommand(name) => {
            let premain = std::env::current_exe().unwrap_or_else(|_| "/premain".into());
            let premain = premain.display();
            let why = format!(
                "{why}\n'{name}' is premain's, but after '--' and 'run' comes a program\nwrite \
                 '{premain} {name}', and with Docker Compose for the service app: \
                 'docker compose run --entrypoint {premain} app {name}', or \
                 'docker compose exec app {premain} {name}'"
            );
            launch::Error::NotFound { program: program.clone(), why }.into()
        }
    }
}
