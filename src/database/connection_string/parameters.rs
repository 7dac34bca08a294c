//! The parameters of connection strings, libpq's and other drivers'.

/// What premain has to do with a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// [`super::settings`] reads it.
    Understood,
    /// It changes nothing for premain, whose sessions are single, short and in UTF-8.
    Harmless,
    /// It asks for something that premain does not do.
    Unsupported,
    /// It belongs to no driver that premain knows.
    Unknown,
}

const UNDERSTOOD: &str = "
    host hostaddr port user password dbname sslmode ssl sslaccept sslrootcert sslcert sslkey
    sslidentity sslpassword sslnegotiation channel_binding options application_name
    fallback_application_name target_session_attrs connect_timeout schema currentSchema search_path
    gssencmode service require_auth requirepeer sslcrl sslcrldir sslcertmode
    ssl_max_protocol_version ssl_min_protocol_version min_protocol_version
";

const UNSUPPORTED: &str = "
    passfile servicefile replication scram_client_key scram_server_key
    oauth_issuer oauth_client_id oauth_client_secret oauth_scope
";

const HARMLESS: [(&str, &str); 8] = [
    (
        "libpq",
        "
        client_encoding gssdelegation gsslib keepalives keepalives_count keepalives_idle
        keepalives_interval krbsrvname load_balance_hosts max_protocol_version sslcompression
        sslkeylogfile sslsni tcp_user_timeout
    ",
    ),
    (
        "Prisma",
        "
        connection_limit max_connection_lifetime max_idle_connection_lifetime pgbouncer pool_timeout
        single_use_connections socket_timeout statement_cache_size
    ",
    ),
    (
        "node-postgres, postgres.js, TypeORM",
        "
        allowExitOnIdle backoff binary connectionTimeoutMillis debug encoding fetch_types
        idleTimeoutMillis idle_in_transaction_session_timeout idle_timeout keepAlive
        keepAliveInitialDelayMillis keep_alive lock_timeout max maxUses max_lifetime max_pipeline
        min poolSize prepare publications query_timeout statement_timeout uselibpqcompat
    ",
    ),
    (
        "Vercel, Supabase, Neon",
        "
        pooler supa workaround
    ",
    ),
    (
        "Go: pgx, lib/pq, golang-migrate",
        "
        binary_parameters default_query_exec_mode description_cache_capacity
        disable_prepared_binary_result pool_health_check_period pool_max_conn_idle_time
        pool_max_conn_lifetime pool_max_conn_lifetime_jitter pool_max_conns pool_min_conns
        pool_min_idle_conns statement_cache_capacity statement_cache_mode timezone
    ",
    ),
    (
        "Python: SQLAlchemy, asyncpg, psycopg, dj-database-url",
        "
        async_fallback command_timeout conn_health_checks conn_max_age max_overflow max_size
        min_size pool_pre_ping pool_recycle pool_size prepare_threshold
        prepared_statement_cache_size prepared_statement_name_func timeout
    ",
    ),
    (
        "Rails, Doctrine",
        "
        charset checkout_timeout pool prepared_statements reaping_frequency serverVersion variables
    ",
    ),
    (
        "JDBC",
        "
        ApplicationName assumeMinServerVersion autosave binaryTransfer connectTimeout
        defaultRowFetchSize loginTimeout prepareThreshold preparedStatementCacheQueries
        reWriteBatchedInserts socketTimeout stringtype tcpKeepAlive
    ",
    ),
];

/// What `name` means, in the spelling of the driver that made it up.
pub(super) fn meaning(name: &str) -> Meaning {
    let lists = |list: &str| list.split_whitespace().any(|known| known == name);
    // golang-migrate's own all begin with x-.
    if lists(UNDERSTOOD) {
        Meaning::Understood
    } else if name.starts_with("x-") || HARMLESS.iter().any(|(_, list)| lists(list)) {
        Meaning::Harmless
    } else if lists(UNSUPPORTED) {
        Meaning::Unsupported
    } else {
        Meaning::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_in_one_list() {
        let mut all: Vec<&str> = HARMLESS
            .iter()
            .map(|(_, list)| *list)
            .chain([UNDERSTOOD, UNSUPPORTED])
            .flat_map(str::split_whitespace)
            .collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn parameters_keep_their_case() {
        assert_eq!(meaning("sslmode"), Meaning::Understood);
        assert_eq!(meaning("SSLMODE"), Meaning::Unknown);
        assert_eq!(meaning("idleTimeoutMillis"), Meaning::Harmless);
        assert_eq!(meaning("x-migrations-table"), Meaning::Harmless);
        assert_eq!(meaning("passfile"), Meaning::Unsupported);
    }
}
