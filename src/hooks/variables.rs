//! A database as libpq's variables: so `pg_dump` and `psql` need no argument to find it.

use crate::config::{ChannelBinding, Database, Host, RootCertificates, SessionTarget, SslMode};

/// Every variable that says where to connect; `None` for one that must not be set, or it would lead
/// elsewhere.
pub fn of(database: &Database) -> Vec<(&'static str, Option<String>)> {
    let hosts = database.hosts.iter();
    let (names, ports): (Vec<_>, Vec<_>) = hosts
        .map(|host| match host {
            Host::Tcp { host, port } => (host.clone(), port.to_string()),
            Host::Unix { folder, port } => (folder.display().to_string(), port.to_string()),
        })
        .unzip();
    let path = |path: &std::path::Path| Some(path.display().to_string());
    let tls = &database.tls;
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
        ("PGSSLMODE", Some(mode(tls.mode).to_owned())),
        (
            "PGSSLROOTCERT",
            match &tls.root {
                None => None,
                Some(RootCertificates::System) => Some("system".to_owned()),
                Some(RootCertificates::File(file)) => path(file),
            },
        ),
        ("PGSSLCERT", certificate),
        ("PGSSLKEY", key),
        ("PGSSLNEGOTIATION", tls.direct.then(|| "direct".to_owned())),
        ("PGCHANNELBINDING", Some(channel_binding(tls.channel_binding).to_owned())),
        ("PGTARGETSESSIONATTRS", Some(target(database.session).to_owned())),
    ]
}

fn mode(mode: SslMode) -> &'static str {
    match mode {
        SslMode::Disable => "disable",
        SslMode::Prefer => "prefer",
        // libpq verifies nothing with it, unless there is a root certificate.
        SslMode::Require | SslMode::NoVerify => "require",
        SslMode::VerifyCa => "verify-ca",
        SslMode::VerifyFull => "verify-full",
    }
}

fn channel_binding(binding: ChannelBinding) -> &'static str {
    match binding {
        ChannelBinding::Disable => "disable",
        ChannelBinding::Prefer => "prefer",
        ChannelBinding::Require => "require",
    }
}

fn target(session: SessionTarget) -> &'static str {
    match session {
        SessionTarget::Any => "any",
        SessionTarget::ReadWrite => "read-write",
        SessionTarget::ReadOnly => "read-only",
        SessionTarget::Primary => "primary",
        SessionTarget::Standby => "standby",
        SessionTarget::PreferStandby => "prefer-standby",
    }
}
