//! Describes a database with libpq's variables, so that `pg_dump` and `psql` need no arguments.

use crate::database::{ChannelBinding, Database, Host, RootCertificates, SessionTarget, SslMode};

/// Every variable that libpq connects by; `None` for one that must be unset, because it would
/// change the connection.
pub(crate) fn of(database: &Database) -> Vec<(&'static str, Option<String>)> {
    let hosts = database.hosts.iter();
    let (names, ports): (Vec<_>, Vec<_>) = hosts
        .map(|host| match host {
            Host::Tcp { host, port } => (host.clone(), port.to_string()),
            Host::Unix { directory, port } => (directory.display().to_string(), port.to_string()),
        })
        .unzip();
    let path = |path: &std::path::Path| Some(path.display().to_string());
    let tls = &database.tls;
    let root = match &tls.root {
        None => None,
        Some(RootCertificates::System) => Some("system".to_owned()),
        Some(RootCertificates::File(file)) => path(file),
    };
    let (certificate, key) = tls
        .client
        .as_ref()
        .map_or((None, None), |(certificate, key)| (path(certificate), path(key)));
    vec![
        ("PGHOST", Some(names.join(","))),
        ("PGHOSTADDR", None),
        ("PGPORT", Some(ports.join(","))),
        ("PGUSER", Some(database.user.clone())),
        ("PGPASSWORD", database.password.as_ref().map(|password| password.expose().to_owned())),
        ("PGDATABASE", Some(database.name.clone())),
        ("PGSERVICE", None),
        ("PGOPTIONS", database.session_options()),
        ("PGSSLMODE", mode(tls.mode).map(str::to_owned)),
        ("PGSSLROOTCERT", root),
        ("PGSSLCERT", certificate),
        ("PGSSLKEY", key),
        ("PGSSLNEGOTIATION", tls.direct.then(|| "direct".to_owned())),
        ("PGCHANNELBINDING", channel_binding(tls.channel_binding).map(str::to_owned)),
        ("PGTARGETSESSIONATTRS", target(database.session).map(str::to_owned)),
    ]
}

// libpq's defaults are left unset, because other drivers that read these variables know fewer
// values: node-postgres takes `prefer` for `require`, and Postgres.js fails on `any`.

fn mode(mode: SslMode) -> Option<&'static str> {
    Some(match mode {
        SslMode::Prefer => return None,
        SslMode::Disable => "disable",
        // With it libpq verifies nothing, unless there is a root certificate.
        SslMode::Require | SslMode::NoVerify => "require",
        SslMode::VerifyCa => "verify-ca",
        SslMode::VerifyFull => "verify-full",
    })
}

fn channel_binding(binding: ChannelBinding) -> Option<&'static str> {
    Some(match binding {
        ChannelBinding::Prefer => return None,
        ChannelBinding::Disable => "disable",
        ChannelBinding::Require => "require",
    })
}

fn target(session: SessionTarget) -> Option<&'static str> {
    Some(match session {
        SessionTarget::Any => return None,
        SessionTarget::ReadWrite => "read-write",
        SessionTarget::ReadOnly => "read-only",
        SessionTarget::Primary => "primary",
        SessionTarget::Standby => "standby",
        SessionTarget::PreferStandby => "prefer-standby",
    })
}
