//! The variables that name databases.

/// For premain alone: the application never gets it.
pub(super) const PRIVATE: &str = "MIGRATION_DATABASE_URL";

/// Connection strings, in the order of preference.
pub(super) const URLS: [&str; 3] = [PRIVATE, "DIRECT_URL", "DATABASE_URL"];

/// libpq's parameters, and the variables that give their values.
pub(super) type Table = [(&'static str, &'static str)];

pub(super) const POSTGRES: &Table = &[
    ("host", "POSTGRES_HOST"),
    ("port", "POSTGRES_PORT"),
    ("user", "POSTGRES_USER"),
    ("password", "POSTGRES_PASSWORD"),
    ("dbname", "POSTGRES_DB"),
];

pub(super) const DB: &Table = &[
    ("host", "DB_HOST"),
    ("port", "DB_PORT"),
    ("user", "DB_USER"),
    ("password", "DB_PASSWORD"),
    ("dbname", "DB_NAME"),
];

pub(super) const PG: &Table = &[
    ("host", "PGHOST"),
    ("port", "PGPORT"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("dbname", "PGDATABASE"),
];

/// What libpq falls back to where a connection string or another family is incomplete, except for
/// the host.
pub(super) const FALLBACKS: &Table = &[
    ("port", "PGPORT"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("dbname", "PGDATABASE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("sslcertmode", "PGSSLCERTMODE"),
    ("sslcrl", "PGSSLCRL"),
    ("sslcrldir", "PGSSLCRLDIR"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("gssencmode", "PGGSSENCMODE"),
    ("require_auth", "PGREQUIREAUTH"),
    ("requirepeer", "PGREQUIREPEER"),
    ("min_protocol_version", "PGMINPROTOCOLVERSION"),
    ("options", "PGOPTIONS"),
    ("application_name", "PGAPPNAME"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
];

pub(super) const PG_HOST: &Table = &[("host", "PGHOST"), ("hostaddr", "PGHOSTADDR")];

pub(super) const PG_SSL: &Table = &[("sslmode", "PGSSLMODE")];

/// libpq's variables that premain does not read, and why that may matter.
pub(super) const UNREAD: [(&str, &str); 3] = [
    ("PGTZ", "options=-c timezone=… does the same"),
    ("PGDATESTYLE", "options=-c datestyle=… does the same"),
    ("PGGEQO", "options=-c geqo=… does the same"),
];

/// Those that have a meaning of their own.
const OTHERS: [&str; 3] = ["PGREQUIRESSL", "PGSERVICE", "PGPASSFILE"];

/// The parameters that may be secret.
const SECRET: [&str; 3] = ["user", "password", "dbname"];

fn tables() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    [POSTGRES, DB, FALLBACKS, PG_HOST, PG_SSL].into_iter().flatten()
}

/// Every variable that names a database.
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    let unread = UNREAD.into_iter().map(|(name, _)| name);
    URLS.into_iter().chain(tables().map(|(_, name)| *name)).chain(unread).chain(OTHERS)
}

/// The variables that may hold a secret, and so can be in a file.
pub(super) fn secrets() -> impl Iterator<Item = &'static str> {
    let parts = tables().filter(|(key, _)| SECRET.contains(key)).map(|(_, name)| *name);
    URLS.into_iter().chain(parts).chain(["PREMAIN_WAIT_FOR"])
}
