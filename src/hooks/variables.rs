//! Describes a database with libpq's variables, so that `pg_dump` and `psql` need no arguments.

use crate::database::{
    ChannelBinding, Database, Host, RootCertificates, SessionTarget, SslMode, TlsVersion,
};

/// Every variable that libpq connects by; `None` for one that must be unset, because it would
/// change the connection.
pub(crate) fn of(database: &Database) -> Vec<(&'static str, Option<String>)> {
    let hosts = database.hosts.iter();
    let (names, ports): (Vec<_>, Vec<_>) = hosts
        .map(|host| match host {
            Host::Tcp { host, port, .. } => (host.clone(), port.to_string()),
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
        ("PGHOSTADDR", addresses(&database.hosts)),
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
        ("PGREQUIREAUTH", database.require_auth.as_ref().map(|required| required.text.clone())),
        ("PGREQUIREPEER", database.require_peer.as_ref().map(|peer| peer.name.clone())),
        ("PGSSLCRL", tls.revoked.as_deref().and_then(path)),
        ("PGSSLCRLDIR", tls.revoked_directory.as_deref().and_then(path)),
        ("PGSSLMINPROTOCOLVERSION", tls.version.map(version)),
        ("PGSSLMAXPROTOCOLVERSION", tls.version.map(version)),
        ("PGTARGETSESSIONATTRS", target(database.session).map(str::to_owned)),
    ]
}

/// `hostaddr`, which is empty for a host whose name is looked up.
fn addresses(hosts: &[Host]) -> Option<String> {
    let address = |host: &Host| match host {
        Host::Tcp { address, .. } => *address,
        Host::Unix { .. } => None,
    };
    let texts = hosts.iter().map(|host| address(host).map(|address| address.to_string()));
    let texts: Vec<_> = texts.map(Option::unwrap_or_default).collect();
    texts.iter().any(|text| !text.is_empty()).then(|| texts.join(","))
}

fn version(version: TlsVersion) -> String {
    match version {
        TlsVersion::V12 => "TLSv1.2".to_owned(),
        TlsVersion::V13 => "TLSv1.3".to_owned(),
    }
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
