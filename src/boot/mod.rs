//! The boot: wait → migrate → hooks → launch, and a signal ends every step.
//!
//! It runs in the init's child, which then becomes the application, or in this process for `--exec`
//! and for the commands that launch nothing.

mod application;
mod context;
mod hooks;
mod migrating;
mod runtime;
mod summary;
mod waiting;

use crate::config::{Application, Config};
use crate::database::{self, Demand, Session};
use crate::error::Error;
use crate::exit::Exit;
use crate::launch;
use crate::migrate::settings::SourceChoice;
use crate::migrate::{self, Source};
use crate::phase::Phase;
use crate::sys::Inherited;
pub(crate) use context::Context;
use hooks::Moment;
pub(crate) use runtime::in_runtime;
use summary::Migrations;
pub(crate) use summary::Summary;
use waiting::Waiting;

/// Boots and becomes the application; returns only if something prevents that.
pub(crate) fn run(config: &Config, application: &Application, inherited: &Inherited) -> Exit {
    let prepared = if config.boots() {
        // A question or a mistake must not migrate anything.
        application::find_first(config, application)
            .and_then(|()| in_runtime(config, inherited, prepare))
    } else {
        // Starting a runtime would take a fifth of the time that such a start takes.
        Ok(Summary { waited: None, migrations: without_database(config) })
    };
    let summary = match prepared {
        Ok(summary) => summary,
        Err(error @ Error::Stopped(_)) => {
            tracing::info!("{error}; the application was not started");
            return error.exit();
        }
        Err(error) => return error.report(),
    };
    let words = &application.words;
    let program = words.first().map(|program| program.to_string_lossy()).unwrap_or_default();
    tracing::info!("{summary}, starting {program} (pid {})", std::process::id());
    application::explain(application, launch::exec(&config.launch, words, inherited)).report()
}

/// What `run` does before the application: migrates, unless that is optional, and runs the
/// container's own hooks.
async fn prepare(context: &Context<'_>) -> Result<Summary, Error> {
    const NOT_READY: &str = "not everything was ready";
    let optional = context.config.wait.db_optional;
    let summary = match migrate(context).await {
        Err(Error::Wait(error)) if optional && error.exit() == Exit::NotReady => {
            tracing::warn!("{error}; going on without it (--db-optional): no migration is applied");
            hooks::skip(&context.config.hooks, true, NOT_READY);
            Summary { waited: None, migrations: Migrations::Skipped(NOT_READY) }
        }
        summary => summary?,
    };
    Phase::Starting.publish();
    context.run_hooks(Moment::Entrypoint).await?;
    Ok(summary)
}

/// Logs the hooks around migrations that do not run, because no database is configured.
fn without_database(config: &Config) -> Migrations {
    const WHY: &str = "no database is configured";
    hooks::skip(&config.hooks, false, WHY);
    Migrations::Skipped(WHY)
}

/// Waits until everything is ready.
///
/// # Errors
/// [`Error::Wait`] or [`Error::Stopped`].
pub(crate) async fn wait(context: &Context<'_>) -> Result<Summary, Error> {
    let Context { config, shutdown, .. } = context;
    Phase::Starting.publish();
    let mut waiting = Waiting::start(&config.wait);
    match &config.database {
        Some(database) => {
            let login = waiting.log_in(database, Demand::Login);
            database::hold(shutdown, login, "waiting", async |_| Ok::<_, Error>(())).await?;
        }
        None => shutdown.race("waiting", waiting.without_database()).await??,
    }
    Ok(Summary { waited: waiting.total(), migrations: Migrations::None })
}

/// Waits until everything is ready and applies what is pending, with the hooks around it.
///
/// # Errors
/// Those of waiting, migrating and hooks, or [`Error::Stopped`].
pub(crate) async fn migrate(context: &Context<'_>) -> Result<Summary, Error> {
    let Context { config, shutdown, .. } = context;
    if config.database.is_none() {
        Phase::Starting.publish();
        let migrations = without_database(config);
        let mut waiting = Waiting::start(&config.wait);
        shutdown.race("waiting", waiting.without_database()).await??;
        return Ok(Summary { waited: waiting.total(), migrations });
    }
    let source = find_source(context).await?;
    migrate_source(context, source.as_ref(), false).await
}

/// Runs `--generate` and finds the migrations: what is wrong with them is reported before anything is waited for.
///
/// # Errors
/// The hook's, or what is wrong with the migrations.
pub(crate) async fn find_source(context: &Context<'_>) -> Result<Option<Source>, Error> {
    Phase::Starting.publish();
    context.run_hooks(Moment::Generate).await?;
    Ok(Source::find(&context.config.migrate).map_err(migrate::Error::from)?)
}

/// As [`migrate()`], with the migrations of [`find_source`]; `prepared` if `--before-migrate` has run already.
///
/// # Errors
/// As [`migrate()`].
pub(crate) async fn migrate_source(
    context: &Context<'_>,
    source: Option<&Source>,
    prepared: bool,
) -> Result<Summary, Error> {
    let config = context.config;
    let database = config.database.as_ref().ok_or(Error::NoDatabase("migrate"))?;
    let mut waiting = Waiting::start(&config.wait);
    let migrations = match source {
        Some(source) => Migrations::Applied(
            migrating::all(context, database, source, &mut waiting, prepared).await?,
        ),
        None => {
            if config.migrate.source != SourceChoice::None {
                tracing::warn!("{}", Source::explain_none(&config.migrate));
            }
            migrating::without_migrations(context, database, &mut waiting).await?;
            Migrations::None
        }
    };
    Ok(Summary { waited: waiting.total(), migrations })
}

/// Runs `--before-migrate`, in a session that holds the migration lock.
///
/// # Errors
/// The hook's, or [`Error::Stopped`].
pub(crate) async fn prepare_to_migrate(
    context: &Context<'_>,
    session: &Session,
    pending: usize,
) -> Result<(), Error> {
    migrating::with_hooks(context, session, Moment::BeforeMigrate(pending)).await
}
