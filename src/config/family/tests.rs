use std::ffi::OsString;
use std::fs;

use proptest::prelude::*;

use super::super::database_variables;
use super::*;

/// What an environment names, what is wrong with it, and what looks wrong.
fn judged(variables: &[(&str, &str)]) -> (Found, Vec<String>, Vec<String>) {
    let pairs = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    let found = find(&mut Environment::new(pairs), &mut problems, &mut warnings);
    let problems = problems.iter().map(|p| format!("{} {}", p.name, p.what)).collect();
    (found, problems, warnings)
}

fn found(variables: &[(&str, &str)]) -> Found {
    let (found, problems, warnings) = judged(variables);
    assert_eq!(problems, [""; 0], "{variables:?}");
    assert_eq!(warnings, [""; 0], "{variables:?}");
    found
}

fn database(variables: &[(&str, &str)]) -> Database {
    found(variables).database.unwrap_or_else(|| panic!("{variables:?} names no database"))
}

fn problems(variables: &[(&str, &str)]) -> Vec<String> {
    judged(variables).1
}

fn server(host: &str, port: u16) -> Target {
    Target::PostgresServer { host: host.to_owned(), port }
}

const MIGRATION: (&str, &str) = ("MIGRATION_DATABASE_URL", "postgres://owner@h/d");
const DIRECT: (&str, &str) = ("DIRECT_URL", "postgres://direct@h/d");
const URL: (&str, &str) = ("DATABASE_URL", "postgres://url@h/d");
const POSTGRES_HOST: (&str, &str) = ("POSTGRES_HOST", "postgres");
const DB_HOST: (&str, &str) = ("DB_HOST", "db");
const DB_NAME: (&str, &str) = ("DB_NAME", "shop");
const DB_USER: (&str, &str) = ("DB_USER", "clerk");
const PGHOST: (&str, &str) = ("PGHOST", "pg");

#[test]
fn nothing_set_is_nothing_found() {
    let found = found(&[("PATH", "/bin"), ("PGDATA", "/var/lib/postgresql/data")]);
    assert_eq!(found.database, None);
    assert_eq!(found.server, None);
}

#[test]
fn the_first_one_set_names_the_database() {
    let all = [MIGRATION, DIRECT, URL, POSTGRES_HOST, ("DB_HOST", "postgres"), DB_USER, PGHOST];
    for (skipped, origin) in [
        (0, "MIGRATION_DATABASE_URL"),
        (1, "DIRECT_URL"),
        (2, "DATABASE_URL"),
        (3, "POSTGRES_HOST"),
        (4, "DB_HOST"),
        (6, "PGHOST"),
    ] {
        assert_eq!(database(&all[skipped..]).origin, origin);
    }
}

#[test]
fn only_the_url_that_is_used_is_judged() {
    assert_eq!(database(&[MIGRATION, ("DATABASE_URL", "postgres://h:port/d")]).user, "owner");
}

#[test]
fn the_postgres_family() {
    let family = [
        POSTGRES_HOST,
        ("POSTGRES_PORT", "5433"),
        ("POSTGRES_USER", "devx"),
        ("POSTGRES_PASSWORD", "p@/#:%"),
        ("POSTGRES_DB", "devxplatform"),
    ];
    let database = database(&family);
    assert_eq!(database.to_string(), "devx@postgres:5433/devxplatform");
    assert_eq!(database.password.unwrap().expose(), "p@/#:%");
}

#[test]
fn the_postgres_family_has_the_official_images_defaults() {
    assert_eq!(database(&[POSTGRES_HOST]).to_string(), "postgres@postgres:5432/postgres");
    let named = [POSTGRES_HOST, ("POSTGRES_USER", "devx")];
    assert_eq!(database(&named).to_string(), "devx@postgres:5432/devx");
}

#[test]
fn the_db_family() {
    let family = [DB_HOST, ("DB_PORT", "5433"), DB_USER, ("DB_PASSWORD", "p"), DB_NAME];
    let found = found(&family);
    assert_eq!(found.database.unwrap().to_string(), "clerk@db:5433/shop");
    assert_eq!(found.server, None);
}

#[test]
fn libpqs_own_family() {
    let family = [
        PGHOST,
        ("PGPORT", "5433"),
        ("PGUSER", "u"),
        ("PGPASSWORD", "p"),
        ("PGDATABASE", "d"),
        ("PGSSLMODE", "require"),
        ("PGAPPNAME", "a"),
        ("PGOPTIONS", "-c x=y"),
        ("PGCONNECT_TIMEOUT", "3"),
        ("PGTARGETSESSIONATTRS", "read-write"),
        ("PGCHANNELBINDING", "require"),
    ];
    let text = "postgres://u:p@pg:5433/d?sslmode=require&application_name=a&options=-c x=y\
                &connect_timeout=3&target_session_attrs=read-write&channel_binding=require";
    let expected = database(&[("DATABASE_URL", text)]);
    assert_eq!(database(&family), Database { origin: "PGHOST".to_owned(), ..expected });
}

#[test]
fn libpqs_variables_fill_what_a_url_leaves_out() {
    let fallbacks =
        [("PGUSER", "U"), ("PGPASSWORD", "P"), ("PGDATABASE", "D"), ("PGPORT", "1"), PGHOST];
    let filled = |url: &str| {
        let mut variables = vec![("DATABASE_URL", url)];
        variables.extend(fallbacks);
        database(&variables).to_string()
    };
    assert_eq!(filled("postgres://"), "U@pg:1/D");
    assert_eq!(filled("postgres://h"), "U@h:1/D");
    assert_eq!(filled("postgres://u@h:2/d"), "u@h:2/d");
}

#[test]
fn a_urls_ssl_is_not_overruled_by_pgsslmode() {
    let url = ("DATABASE_URL", "postgres://u@h/d?ssl=false");
    let tls = database(&[url, ("PGSSLMODE", "require")]).tls;
    assert_eq!(tls.mode, crate::database::SslMode::Disable);
}

#[test]
fn without_a_user_it_is_the_account_as_in_libpq() {
    let found = judged(&[("DATABASE_URL", "postgres://h/d")]).0;
    assert_eq!(found.database.map(|database| database.user), user::own_name());
}

#[test]
fn db_host_alone_is_a_server_to_wait_for() {
    let alone = found(&[DB_HOST]);
    assert_eq!(alone.database, None);
    assert_eq!(alone.server, Some(server("db", 5432)));
    assert_eq!(found(&[DB_HOST, ("DB_PORT", "5433")]).server, Some(server("db", 5433)));
    assert_eq!(found(&[DB_HOST, ("DB_PASSWORD", "p")]).database, None);
}

#[test]
fn db_host_beside_a_url_is_one_more_server_unless_it_is_the_same() {
    let url = ("DATABASE_URL", "postgres://u@a,db:5433/d");
    let more = |host, port| found(&[url, ("DB_HOST", host), ("DB_PORT", port)]).server;
    assert_eq!(more("db", "5432"), Some(server("db", 5432)));
    assert_eq!(more("db", "5433"), None);
    assert_eq!(more("db", ""), None);
    assert_eq!(more("a", ""), None);
    assert_eq!(more("c", ""), Some(server("c", 5432)));
    let c = ("DB_HOST", "c");
    assert_eq!(found(&[url, c, DB_USER, DB_NAME]).server, Some(server("c", 5432)));
    assert_eq!(found(&[POSTGRES_HOST, c, DB_USER]).server, Some(server("c", 5432)));
}

#[test]
fn db_host_may_be_a_sockets_directory() {
    let found = found(&[("DB_HOST", "/run/pg")]);
    assert_eq!(found.server, Some(Target::Unix("/run/pg/.s.PGSQL.5432".into())));
}

#[test]
fn kubernetes_service_links_are_ports() {
    let link = ("POSTGRES_PORT", "tcp://10.43.0.7:5433");
    assert_eq!(database(&[POSTGRES_HOST, link]).to_string(), "postgres@postgres:5433/postgres");
    assert_eq!(
        found(&[DB_HOST, ("DB_PORT", "tcp://10.43.0.7:5433")]).server,
        Some(server("db", 5433))
    );
}

#[test]
fn variables_that_look_like_a_database_are_found_where_none_is_configured() {
    let half = [("POSTGRES_DB", "d"), ("POSTGRES_USER", "u"), ("PATH", "/bin")];
    assert_eq!(found(&half).candidates, ["POSTGRES_DB", "POSTGRES_USER"]);
    assert_eq!(found(&[half[0], half[1], URL]).candidates, [""; 0]);
    let laravel = [DB_HOST, ("DB_USERNAME", "u"), ("DB_DATABASE", "d"), ("DB_PASSWORD", "p")];
    assert_eq!(found(&laravel).candidates, ["DB_DATABASE", "DB_PASSWORD", "DB_USERNAME"]);
    assert_eq!(found(&[DB_HOST, ("DB_PORT", "1")]).candidates, [""; 0]);
    let (found, ..) = judged(&[("DATABASE_URL", "mysql://h/d"), ("DB_USERNAME", "u")]);
    assert!(found.is_foreign && found.candidates.is_empty());
}

#[test]
fn an_incomplete_family_beside_names_that_are_almost_right_is_a_problem() {
    let names = [("POSTGRES_USERNAME", "clerk"), ("POSTGRES_DATABASE", "shop")];
    let said = problems(&[POSTGRES_HOST, ("POSTGRES_PASSWORD", "p"), names[0], names[1]]);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with("POSTGRES_HOST names the database, and these variables"),
        "{said:?}"
    );
    let list = "POSTGRES_USERNAME (for POSTGRES_USER), POSTGRES_DATABASE (for POSTGRES_DB)";
    assert!(said[0].contains(list), "{said:?}");
    assert!(!said[0].contains("clerk") && !said[0].contains("shop"), "{said:?}");
    for (family, name) in [
        (&[DB_HOST, DB_USER][..], "DB_DATABASE"),
        (&[DB_HOST, DB_NAME], "DB_USERNAME"),
        (&[DB_HOST, DB_NAME, DB_USER], "DB_PASS"),
        (&[PGHOST], "PGUSERNAME"),
        (&[("PGDATABASE", "d")], "PGHOSTNAME"),
        (&[POSTGRES_HOST], "POSTGRES_PASSWROD"),
    ] {
        let said = problems(&[family, &[(name, "x")]].concat());
        assert!(said.len() == 1 && said[0].contains(name), "{name}: {said:?}");
    }
    // Complete, or the same value: nothing is ignored that was meant.
    let whole = [POSTGRES_HOST, ("POSTGRES_USER", "u"), ("POSTGRES_DB", "d"), names[0], names[1]];
    assert_eq!(database(&whole).to_string(), "u@postgres:5432/d");
    database(&[POSTGRES_HOST, ("POSTGRES_USERNAME", "postgres")]);
    database(&[
        POSTGRES_HOST,
        ("POSTGRES_INITDB_ARGS", "-k"),
        ("POSTGRES_HOST_AUTH_METHOD", "md5"),
    ]);
    database(&[URL, names[0], names[1]]);
}

#[test]
fn libpqs_files_are_not_read_and_whoever_needs_one_is_told() {
    let warnings = |variables: &[(&str, &str)]| judged(variables).2;
    let service = ("PGSERVICE", "prod");
    for variables in [&[service][..], &[service, URL], &[service, PGHOST]] {
        let said = problems(variables);
        assert!(said[0].starts_with("PGSERVICE names a service"), "{said:?}");
    }
    assert!(warnings(&[service, MIGRATION])[0].starts_with("PGSERVICE is ignored"));
    let file = ("PGPASSFILE", "/x");
    assert!(warnings(&[file, URL])[0].starts_with("PGPASSFILE is ignored"));
    assert_eq!(warnings(&[file, URL, ("PGPASSWORD", "p")]), [""; 0]);
}

/// What becomes of a parameter, in a URL and as a variable.
#[derive(Debug, PartialEq, Eq)]
enum Effect {
    /// The database is another one, or is reached otherwise.
    Changes,
    /// None, and nothing is said: premain's sessions do not depend on it.
    None,
    Warns,
    Stops,
}

/// Every parameter of libpq of PostgreSQL 18, its variable, and a value.
const LIBPQ: [(&str, &str, &str, [Effect; 2]); 56] = {
    use Effect::{Changes, None, Stops, Warns};
    [
        ("service", "PGSERVICE", "prod", [Stops, Stops]),
        ("servicefile", "PGSERVICEFILE", "/x", [Warns, None]),
        ("host", "PGHOST", "other", [Changes, None]),
        ("hostaddr", "PGHOSTADDR", "10.0.0.7", [Changes, None]),
        ("port", "PGPORT", "1", [Changes, Changes]),
        ("user", "PGUSER", "other", [Changes, Changes]),
        ("password", "PGPASSWORD", "other", [Changes, Changes]),
        ("passfile", "PGPASSFILE", "/x", [Warns, Warns]),
        ("dbname", "PGDATABASE", "other", [Changes, Changes]),
        ("options", "PGOPTIONS", "-c x=y", [Changes, Changes]),
        ("application_name", "PGAPPNAME", "other", [Changes, Changes]),
        ("fallback_application_name", "", "other", [Changes, None]),
        ("connect_timeout", "PGCONNECT_TIMEOUT", "7", [Changes, Changes]),
        ("target_session_attrs", "PGTARGETSESSIONATTRS", "standby", [Changes, Changes]),
        ("load_balance_hosts", "PGLOADBALANCEHOSTS", "random", [None, None]),
        ("client_encoding", "PGCLIENTENCODING", "latin1", [None, None]),
        ("replication", "", "database", [Warns, None]),
        ("keepalives", "", "0", [None, None]),
        ("keepalives_idle", "", "1", [None, None]),
        ("keepalives_interval", "", "1", [None, None]),
        ("keepalives_count", "", "1", [None, None]),
        ("tcp_user_timeout", "", "1", [None, None]),
        ("sslmode", "PGSSLMODE", "disable", [Changes, Changes]),
        ("requiressl", "PGREQUIRESSL", "1", [Warns, Changes]),
        ("sslnegotiation", "PGSSLNEGOTIATION", "direct", [Stops, Stops]),
        ("sslcompression", "PGSSLCOMPRESSION", "1", [None, None]),
        ("sslsni", "PGSSLSNI", "0", [None, None]),
        ("sslrootcert", "PGSSLROOTCERT", "system", [Changes, Changes]),
        ("sslcert", "PGSSLCERT", "/none", [Stops, Stops]),
        ("sslkey", "PGSSLKEY", "/none", [Stops, Stops]),
        ("sslpassword", "", "other", [None, None]),
        ("sslcertmode", "PGSSLCERTMODE", "require", [Stops, Stops]),
        ("sslcrl", "PGSSLCRL", "/none", [Stops, Stops]),
        ("sslcrldir", "PGSSLCRLDIR", "/none", [Stops, Stops]),
        ("sslkeylogfile", "", "/x", [None, None]),
        ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", "TLSv1.3", [Changes, Changes]),
        ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", "TLSv1.2", [Changes, Changes]),
        ("min_protocol_version", "PGMINPROTOCOLVERSION", "3.2", [Stops, Stops]),
        ("max_protocol_version", "PGMAXPROTOCOLVERSION", "3.2", [None, None]),
        ("channel_binding", "PGCHANNELBINDING", "require", [Changes, Changes]),
        ("require_auth", "PGREQUIREAUTH", "scram-sha-256", [Changes, Changes]),
        ("requirepeer", "PGREQUIREPEER", "root", [None, None]),
        ("gssencmode", "PGGSSENCMODE", "require", [Stops, Stops]),
        ("gssdelegation", "PGGSSDELEGATION", "1", [None, None]),
        ("gsslib", "PGGSSLIB", "gssapi", [None, None]),
        ("krbsrvname", "PGKRBSRVNAME", "x", [None, None]),
        ("scram_client_key", "", "x", [Warns, None]),
        ("scram_server_key", "", "x", [Warns, None]),
        ("oauth_issuer", "", "x", [Warns, None]),
        ("oauth_client_id", "", "x", [Warns, None]),
        ("oauth_client_secret", "", "x", [Warns, None]),
        ("oauth_scope", "", "x", [Warns, None]),
        ("timezone", "PGTZ", "UTC", [None, Warns]),
        ("datestyle", "PGDATESTYLE", "German", [Warns, Warns]),
        ("geqo", "PGGEQO", "off", [Warns, Warns]),
        ("no_such_parameter", "PGNOSUCHVARIABLE", "x", [Warns, None]),
    ]
};

#[test]
fn every_parameter_of_libpq_has_an_effect_or_is_told_of() {
    let effect = |variables: &[(&str, &str)], base: &[(&str, &str)]| {
        let (found, problems, warnings) = judged(variables);
        match found.database {
            _ if !problems.is_empty() => Effect::Stops,
            _ if !warnings.is_empty() => Effect::Warns,
            found if found != judged(base).0.database => Effect::Changes,
            _ => Effect::None,
        }
    };
    for (parameter, variable, value, [by_url, by_variable]) in &LIBPQ {
        let url = format!("postgres://u@h/d?{parameter}={value}");
        let base = [("DATABASE_URL", "postgres://u@h/d")];
        assert_eq!(effect(&[("DATABASE_URL", &url)], &base), *by_url, "{parameter}");
        let base = [("DATABASE_URL", "postgres://h")];
        assert_eq!(effect(&[base[0], (variable, value)], &base), *by_variable, "{variable}");
    }
}

#[test]
fn another_databases_url_is_a_warning() {
    let (found, problems, warnings) = judged(&[("DATABASE_URL", "mysql://u:hunter2@h/d")]);
    assert!(found.database.is_none() && problems.is_empty());
    assert_eq!(warnings, ["DATABASE_URL is ignored: it is a mysql URL, not one of PostgreSQL"]);
    let (_, problems, warnings) = judged(&[("DATABASE_URL", "jdbc:mysql://h/d")]);
    assert!(problems.is_empty() && warnings[0].contains("a mysql URL"), "{warnings:?}");
}

#[test]
fn a_url_without_meaning_is_a_problem_that_shows_it_without_its_password() {
    let said = problems(&[("DATABASE_URL", "postgres://u:hunt/er2@h/d")]);
    assert_eq!(
        said,
        ["DATABASE_URL has an '@' after the first '/' or '?': percent-encode the password: \
         '/' is %2F (postgres://u:***@h/d)"]
    );
}

#[test]
fn a_file_is_named_in_what_is_said_of_its_content() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "postgres://u@h/d?sslmode=on\n").unwrap();
    let path = file.path().to_str().unwrap();
    let said = problems(&[("DATABASE_URL_FILE", path)]);
    assert!(said[0].starts_with(&format!("DATABASE_URL_FILE={path} says sslmode=on")), "{said:?}");
}

#[test]
fn every_problem_of_every_variable_is_told() {
    let said = problems(&[
        ("POSTGRES_HOST", "db:5433"),
        ("POSTGRES_PORT", "many"),
        ("POSTGRES_PASSWORD_FILE", "/none"),
        ("PGSSLMODE", "on"),
        ("PGCONNECT_TIMEOUT", "5s"),
        ("DB_HOST", "db"),
        ("DB_PORT", "0"),
    ]);
    let beginnings = [
        "POSTGRES_PASSWORD_FILE is '/none', which cannot be read",
        "PGSSLMODE is 'on', not one of",
        "POSTGRES_PORT is 'many', not a port",
        "POSTGRES_HOST is 'db:5433', not a host's name",
        "PGCONNECT_TIMEOUT is '5s', not a whole number",
        "DB_PORT is '0', not a port",
    ];
    assert_eq!(said.len(), beginnings.len(), "{said:#?}");
    for (said, beginning) in said.iter().zip(beginnings) {
        assert!(said.starts_with(beginning), "{said} | {beginning}");
    }
}

proptest! {
    #[test]
    fn no_environment_makes_it_panic(
        values in prop::collection::vec((any::<prop::sample::Index>(), "[a-z0-9:/@?#=&,.%-]{0,20}"), 0..6),
    ) {
        let names: Vec<_> = database_variables::all().collect();
        let variables: Vec<_> =
            values.iter().map(|(index, value)| (*index.get(&names), value.as_str())).collect();
        let _ = judged(&variables);
    }

    #[test]
    fn nothing_that_is_said_shows_the_password(
        before in "[a-z0-9:/@?#=,.%-]{0,6}", after in "[a-z0-9:/@?#=,.%-]{0,6}",
        query in "(sslmode=on|port=0|connect_timeout=x|a=b)?",
    ) {
        let password = format!("{before}hunter2{after}");
        let url = format!("postgres://u:{password}@h/d?{query}");
        let family = [
            ("POSTGRES_HOST", "h:1"), ("POSTGRES_PASSWORD", &*password), ("PGSSLMODE", "on"),
        ];
        for variables in [&[("DATABASE_URL", &*url)][..], &[("PREMAIN_WAIT_FOR", &*url)], &family] {
            let (found, problems, warnings) = judged(variables);
            let said = format!("{found:?} {problems:?} {warnings:?}");
            prop_assert!(!said.contains("hunter2"), "{}", said);
        }
    }
}
