//! When hooks run, and what is in the environment of each.

use std::ffi::OsString;

use super::context::Context;
use crate::error::Error;
use crate::hooks::{self, Hook, Occasion, variables};

/// The moments at which hooks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// `--generate`: before the migrations are read.
    Generate,
    /// `--before-migrate`: this many are pending, and the lock is held.
    BeforeMigrate(usize),
    /// `--after-migrate`: this many were applied, none is pending, and the lock is held.
    AfterMigrate(usize),
    /// `/docker-entrypoint.d`: last, before the application is started.
    Entrypoint,
}

impl Moment {
    /// What it means if a hook fails at this moment.
    fn consequence(self) -> &'static str {
        match self {
            Moment::Generate => "nothing was migrated",
            Moment::BeforeMigrate(_) => "no migration was applied",
            Moment::AfterMigrate(0) => "it runs again at the next start",
            Moment::AfterMigrate(_) => {
                "the migrations stay applied, and it runs again at the next start"
            }
            Moment::Entrypoint => "the application was not started",
        }
    }
}

impl Context<'_> {
    /// Whether there is a hook for this moment.
    pub(super) fn has_hooks(&self, moment: Moment) -> bool {
        !self.hooks(moment).is_empty()
    }

    /// Runs the hooks of this moment, one after the other. They may have created the application.
    ///
    /// # Errors
    /// That of the first one that fails, the signal that stopped one, or that there is still no
    /// application.
    pub(super) async fn run_hooks(&self, moment: Moment) -> Result<(), Error> {
        for hook in self.hooks(moment) {
            let occasion = Occasion {
                environment: self.environment(moment),
                // Every line about migrations has the word in it.
                prefix: if moment == Moment::Entrypoint { "" } else { "migrations: " },
                consequence: moment.consequence(),
            };
            hooks::run::<Error>(hook, occasion, self.inherited, self.shutdown).await?;
        }
        self.find_application_after(moment)
    }

    fn hooks(&self, moment: Moment) -> &[Hook] {
        let hooks = &self.config.hooks;
        match moment {
            Moment::Generate => hooks.generate.as_slice(),
            Moment::BeforeMigrate(_) => hooks.before_migrate.as_slice(),
            Moment::AfterMigrate(_) => hooks.after_migrate.as_slice(),
            Moment::Entrypoint => &hooks.entrypoint,
        }
    }

    /// The application's environment. Hooks around migrations also get the database, as libpq's
    /// variables, and how many migrations it is about.
    fn environment(&self, moment: Moment) -> Vec<(OsString, OsString)> {
        let environment = self.config.launch.environment.iter().cloned();
        let (name, count) = match moment {
            Moment::Generate | Moment::Entrypoint => return environment.collect(),
            Moment::BeforeMigrate(pending) => ("PREMAIN_PENDING", pending),
            Moment::AfterMigrate(applied) => ("PREMAIN_APPLIED", applied),
        };
        let mut more = self.config.database.as_ref().map(variables::of).unwrap_or_default();
        more.push((name, Some(count.to_string())));
        let replaced = |name: &OsString| more.iter().any(|(other, _)| name == other);
        environment
            .filter(|(name, _)| !replaced(name))
            .chain(
                more.iter().filter_map(|(name, value)| Some((name.into(), value.as_ref()?.into()))),
            )
            .collect()
    }
}

/// Logs why the hooks around migrations do not run. `--generate` may have run already.
pub(super) fn skip(hooks: &hooks::Settings, generated: bool, why: &str) {
    let generate = hooks.generate.as_ref().filter(|_| !generated);
    let all = [generate, hooks.before_migrate.as_ref(), hooks.after_migrate.as_ref()];
    for hook in all.into_iter().flatten() {
        tracing::info!("migrations: {hook} does not run: {why}");
    }
}
