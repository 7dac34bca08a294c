//! `premain reset`: drop everything and migrate again. For development only: environment variables,
//! host and names that look like production are rejected first.

use std::net::IpAddr;

use super::question;
use crate::boot::Context;
use crate::database::{Database, Host, Session};
use crate::error::Error;
use crate::exit::Exit;
use crate::migrate::ops::reset;
use crate::migrate::{self, Source};
use crate::text;

/// Environment variables that commonly name the environment.
const VARIABLES: [&str; 4] = ["NODE_ENV", "APP_ENV", "RAILS_ENV", "PREMAIN_ENV"];

pub(super) async fn run(context: &Context<'_>, yes: bool) -> Result<Exit, Error> {
    let database = context.config.database.as_ref().ok_or(Error::NoDatabase("reset"))?;
    if let Some(why) = sign_of_production(database, |name: &str| std::env::var(name).ok()) {
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
    let settings = &context.config.migrate;
    // What is wrong with the migrations is reported before anything is dropped.
    let source = Source::find(settings).map_err(migrate::Error::from)?;
    let emptied = context.with_session("reset", "dropping", async |session| {
        if !yes && !is_confirmed(context, name, session).await? {
            return Ok(None);
        }
        Ok(Some(reset::drop_everything(session, source.as_ref(), settings).await?))
    });
    let Some(report) = emptied.await? else {
        tracing::info!("migrations: nothing was dropped");
        return Ok(Exit::Success);
    };
    tracing::info!(
        "migrations: database {name} emptied: {} dropped, {} ended",
        text::count(report.objects, "object"),
        text::count(report.sessions, "other session")
    );
    super::migrate::run(context).await
}

async fn is_confirmed(context: &Context<'_>, name: &str, session: &Session) -> Result<bool, Error> {
    let question = format!(
        "All tables, data, functions and types of database {name} on {} will be dropped.\n\
         Type the name of the database to go on:",
        session.host()
    );
    question::confirmed(&question, &[name], context.shutdown).await
}

/// Why this may be production, if it may; `--yes` does not override it.
fn sign_of_production(
    database: &Database,
    variable: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    for name in VARIABLES {
        if let Some(value) = variable(name).filter(|value| value.to_lowercase().contains("prod")) {
            return Some(format!("{name} is {value}"));
        }
    }
    if let Some(far) = database.hosts.iter().find_map(far_host) {
        return Some(format!("the host {far} is neither local nor private"));
    }
    let hosts = database.hosts.iter().map(|host| ("host", host.to_string()));
    let names = [("database", database.name.clone()), ("user", database.user.clone())];
    let (kind, name) = hosts.chain(names).find(|(_, name)| looks_like_production(name))?;
    Some(format!("the {kind} {name} looks like production"))
}

/// The host, if it may be remote: an address that is not private, or a name with a domain. A name
/// without a domain is a service of the same compose project.
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
