//! `premain reset`: drop everything and migrate again, or only empty the tables. For development only: whatever looks like
//! production is rejected first.

use std::env;
use std::net::{IpAddr, Ipv4Addr};

use super::question;
use crate::boot::{self, Context};
use crate::database::connection_string::{settings::Settings, url};
use crate::database::settings::DEFAULT_PORT;
use crate::database::{Database, Host, Session};
use crate::error::Error;
use crate::exit::Exit;
use crate::migrate::Source;
use crate::migrate::ops::reset;
use crate::migrate::settings::SourceChoice;
use crate::text;

/// Environment variables that name the environment, besides all that end in `_ENV`, `_ENVIRONMENT` or `_STAGE`.
const ENVIRONMENTS: [&str; 5] =
    ["ENV", "ENVIRONMENT", "STAGE", "DJANGO_SETTINGS_MODULE", "SPRING_PROFILES_ACTIVE"];

/// Environment variables that hold a connection string, and those that hold a host.
const URLS: [&str; 3] = ["DATABASE_URL", "DIRECT_URL", "MIGRATION_DATABASE_URL"];
const HOSTS: [&str; 4] = ["POSTGRES_HOST", "DB_HOST", "PGHOST", "PGHOSTADDR"];

pub(super) async fn run(context: &Context<'_>, data_only: bool, yes: bool) -> Result<Exit, Error> {
    let config = context.config;
    let database = config.database.as_ref().ok_or(Error::NoDatabase("reset"))?;
    if let Some(why) = sign_of_production(context, database) {
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
    // What is wrong with the migrations is reported before anything is dropped.
    let source = boot::find_source(context).await?;
    if source.is_none() && (data_only || config.migrate.source != SourceChoice::None) {
        return Err(Error::Usage(
            "'premain reset' found no migrations to apply afterwards; name their directory with --migrations; \
             nothing was dropped"
                .to_owned(),
        ));
    }
    let emptied = context.with_session("reset", "emptying the database", async |session| {
        if !yes && !is_confirmed(context, name, session, data_only).await? {
            return Ok(false);
        }
        empty(context, session, source.as_ref(), data_only).await.map(|()| true)
    });
    match emptied.await? {
        false => tracing::info!("migrations: nothing was dropped"),
        true if data_only => {}
        true => {
            let summary = boot::migrate_source(context, source.as_ref(), true).await?;
            tracing::info!("{summary}");
        }
    }
    Ok(Exit::Success)
}

/// Runs `--before-migrate`, which may be a backup, and empties the database.
async fn empty(
    context: &Context<'_>,
    session: &Session,
    source: Option<&Source>,
    data_only: bool,
) -> Result<(), Error> {
    let settings = &context.config.migrate;
    // The lock comes first: behind a pooler it cannot be held, and then nothing has been changed.
    reset::prepare(session, source, settings).await?;
    let pending = source.map_or(0, |source| source.migrations.len());
    boot::prepare_to_migrate(context, session, if data_only { 0 } else { pending }).await?;
    let sessions = text::count(reset::end_others(session).await?, "other session");
    let removed = match (data_only, source) {
        (true, Some(source)) => {
            let tables = reset::empty_tables(session, source, settings).await?;
            format!("{}, schema and history kept", text::count(tables, "table"))
        }
        _ => {
            let objects = reset::drop_everything(session, source, settings).await?;
            format!("{} dropped", text::count(objects, "object"))
        }
    };
    let name = context.config.database.as_ref().map(|database| database.name.as_str());
    let name = name.unwrap_or_default();
    tracing::info!("migrations: database {name} emptied: {removed}, {sessions} ended");
    Ok(())
}

async fn is_confirmed(
    context: &Context<'_>,
    name: &str,
    session: &Session,
    data_only: bool,
) -> Result<bool, Error> {
    let what = match data_only {
        true => "All rows of all tables",
        false => "All tables, data, functions and types",
    };
    let done = if data_only { "deleted" } else { "dropped" };
    let question = format!(
        "{what} of database {name} on {} will be {done}.\n\
         Type the name of the database to go on:",
        session.host()
    );
    question::confirmed(&question, &[name], context.shutdown).await
}

/// Why this may be production, if it may; `--yes` does not override it. Every configured database counts: the application's
/// may be another one than the one that premain migrates.
fn sign_of_production(context: &Context<'_>, database: &Database) -> Option<String> {
    let variables = context.config.launch.environment.iter().cloned().chain(env::vars_os());
    let variables: Vec<(String, String)> = variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let named = variables
        .iter()
        .find(|(name, value)| names_the_environment(name) && looks_like_production(value));
    if let Some((name, value)) = named {
        return Some(format!("{name} is {value}"));
    }
    let others = variables.iter().filter_map(|(name, value)| match name.as_str() {
        name if URLS.contains(&name) => {
            let settings = Settings::of_url(name, url::parse(value).ok()?);
            settings.database(&mut Vec::new(), &mut Vec::new())
        }
        name if HOSTS.contains(&name) => Some(Database::for_probe(Host::new(value, DEFAULT_PORT))),
        _ => None,
    });
    [database.clone()].into_iter().chain(others).find_map(|database| sign_in_database(&database))
}

fn sign_in_database(database: &Database) -> Option<String> {
    if let Some(far) = database.hosts.iter().find_map(far_host) {
        return Some(format!("the host {far} is neither local nor private"));
    }
    let hosts = database.hosts.iter().map(|host| match host {
        Host::Tcp { host, .. } => ("host", host.clone()),
        Host::Unix { .. } => ("host", host.to_string()),
    });
    let names = [("database", database.name.clone()), ("user", database.user.clone())];
    let (kind, name) = hosts.chain(names).find(|(_, name)| looks_like_production(name))?;
    Some(format!("the {kind} {name} looks like production"))
}

/// `NODE_ENV`, `app_env`, `ASPNETCORE_ENVIRONMENT`, `STAGE`
fn names_the_environment(name: &str) -> bool {
    let name = name.to_uppercase();
    ENVIRONMENTS.contains(&name.as_str())
        || ["_ENV", "_ENVIRONMENT", "_STAGE"].iter().any(|end| name.ends_with(end))
}

/// The host, if it may be remote: an address that is not private, or a name with a domain. A name
/// without a domain is a service of the same compose project.
fn far_host(host: &Host) -> Option<String> {
    const NEAR: [&str; 3] = [".localhost", ".local", ".test"];
    let Host::Tcp { host: name, address: given, .. } = host else { return None };
    let name = &given.map_or_else(|| name.clone(), |address| address.to_string());
    let plain = name.trim_end_matches('.').to_lowercase();
    let is_near = match address(&plain) {
        Some(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Some(IpAddr::V6(ip)) => {
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
        }
        None => {
            !plain.contains('.')
                || plain == "host.docker.internal"
                || NEAR.iter().any(|end| plain.ends_with(end))
        }
    };
    (!is_near).then(|| name.clone())
}

/// The address in any notation that a resolver understands: `8.8.8.8`, `134744072`, `0x8.8.2056`, `::ffff:8.8.8.8`,
/// `fe80::1%eth0`.
fn address(name: &str) -> Option<IpAddr> {
    let without_zone = name.split('%').next().unwrap_or(name);
    if let Ok(address) = without_zone.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    // As inet_aton: one to four numbers, the last of which fills the remaining bytes.
    let parts: Option<Vec<u32>> = name.split('.').map(number).collect();
    let (last, first) = parts.as_ref()?.split_last()?;
    if first.len() > 3 || first.iter().any(|part| *part > 255) {
        return None;
    }
    let bytes = first.iter().fold(0_u64, |sum, part| sum << 8 | u64::from(*part));
    let value = bytes << (8 * (4 - first.len())) | u64::from(*last);
    Some(IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(value).ok()?)))
}

/// A number as in C: `10`, `0x0a`, `012`.
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None if text.starts_with('0') => u32::from_str_radix(text, 8).ok(),
        None => text.parse().ok(),
    }
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
    fn remote_hosts_are_found_in_any_notation() {
        let far = |name: &str| far_host(&Host::new(name, 5432)).is_some();
        for name in [
            "8.8.8.8",
            "134744072",
            "0x8080808",
            "8.8.2056",
            "010.8.8.8",
            "::ffff:8.8.8.8",
            "db.Example.com.",
        ] {
            assert!(far(name), "{name}");
        }
        for name in [
            "127.1",
            "2130706433",
            "0x7f.1",
            "::1",
            "fe80::1%eth0",
            "10.1",
            "db",
            "localhost.",
            "a.TEST",
        ] {
            assert!(!far(name), "{name}");
        }
    }

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
