//! `premain reset`: drop everything and migrate again. For development only, which is asked of the
//! environment, the host and the names before anything else.

use std::net::IpAddr;

use super::question;
use crate::boot::{self, Goal};
use crate::database::{Database, Host};
use crate::error::Error;
use crate::exit::Exit;
use crate::hooks::Hooks;
use crate::migrate::{self, Source, empty};
use crate::text;

/// The variables in which people say where they are.
const VARIABLES: [&str; 4] = ["NODE_ENV", "APP_ENV", "RAILS_ENV", "PREMAIN_ENV"];

pub(super) async fn run(hooks: &Hooks<'_>, yes: bool) -> Result<Exit, Error> {
    let Hooks { config, shutdown, .. } = hooks;
    let database = config.database.as_ref().ok_or(Error::NoDatabase("reset"))?;
    if let Some(why) = refusal(database, |name: &str| std::env::var(name).ok()) {
        return Err(Error::Usage(format!(
            "'premain reset' is for development: {why}; nothing was dropped"
        )));
    }
    let name = &database.name;
    if !yes && !question::can_be_asked() {
        return Err(Error::Usage(format!(
            "'premain reset' asks before it drops everything in {name}, and there is no terminal \
             to ask at; give --yes if you are sure"
        )));
    }
    // What is wrong with the folder is said before anything is gone.
    let source = Source::find(&config.migrate).map_err(migrate::Error::from)?;
    let session = boot::connect(config, "reset", shutdown).await?;
    if !yes {
        let question = format!(
            "All tables, data, functions and types of database {name} on {} will be dropped.\n\
             Type the name of the database to go on:",
            session.host()
        );
        if !question::confirmed(&question, &[name], shutdown).await? {
            session.close().await;
            tracing::info!("migrations: nothing was dropped");
            return Ok(Exit::Success);
        }
    }
    let done = boot::cancellable(session, shutdown, "dropping", async |session| {
        empty::empty(session, source.as_ref(), &config.migrate).await
    });
    let report = done.await??;
    tracing::info!(
        "migrations: database {name} emptied: {} dropped, {} ended",
        text::count(report.objects, "object"),
        text::count(report.sessions, "other session")
    );
    let story = boot::prepare(hooks, Goal::Migrated).await?;
    tracing::info!("{story}");
    Ok(Exit::Success)
}

/// Why this is not development, if it is not. `--yes` changes nothing about it.
fn refusal(database: &Database, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    for name in VARIABLES {
        if let Some(value) = variable(name).filter(|value| value.to_lowercase().contains("prod")) {
            return Some(format!("{name} is {value}"));
        }
    }
    for host in &database.hosts {
        if let Some(far) = far_host(host) {
            return Some(format!("the host {far} is neither local nor private"));
        }
    }
    let hosts = database.hosts.iter().map(|host| ("host", host.to_string()));
    let names = [("database", database.name.clone()), ("user", database.user.clone())];
    let (kind, name) = hosts.chain(names).find(|(_, name)| looks_like_production(name))?;
    Some(format!("the {kind} {name} looks like production"))
}

/// A host that may be anywhere: an address that is not private, or a name with a domain. A name
/// alone is a neighbour in the same compose project.
fn far_host(host: &Host) -> Option<String> {
    const NEAR: [&str; 3] = [".localhost", ".local", ".test"];
    let Host::Tcp { host: name, .. } = host else { return None };
    let near = match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => {
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
        }
        Err(_) => {
            !name.contains('.')
                || name == "host.docker.internal"
                || NEAR.iter().any(|end| name.ends_with(end))
        }
    };
    (!near).then(|| name.clone())
}

/// `prod`, `my-prod-db`, `app_production`, `shopprod2`, `live`; not `products`.
fn looks_like_production(name: &str) -> bool {
    let name = name.to_lowercase();
    name.contains("production")
        || name
            .split(|c: char| !c.is_alphabetic())
            .any(|word| word.ends_with("prod") || word == "prd" || word == "live")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_by_its_names() {
        for name in ["prod", "my-prod-db", "app_production", "shopprod2", "PROD", "live", "prd1"] {
            assert!(looks_like_production(name), "{name}");
        }
        for name in ["products", "reproduce", "dev", "deliver", "app", "test_3"] {
            assert!(!looks_like_production(name), "{name}");
        }
    }
}
