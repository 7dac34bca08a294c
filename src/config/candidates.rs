//! Variables that look as if they named a PostgreSQL database, but are not read.

use super::nearest::mistakes;
use crate::database::connection_string::url;

/// libpq's parameters, and what other programs call them in the names of variables.
const WORDS: [(&str, &[&str]); 6] = [
    ("host", &["HOST", "HOSTNAME", "SERVER", "ADDRESS", "ADDR", "ENDPOINT"]),
    ("port", &["PORT"]),
    ("user", &["USER", "USERNAME", "USR", "LOGIN", "ROLE"]),
    ("password", &["PASSWORD", "PASS", "PASSWD", "PWD"]),
    ("dbname", &["DB", "DATABASE", "NAME", "DBNAME", "DATABASENAME"]),
    ("url", &["URL", "URI", "DSN", "CONNECTIONSTRING", "CONNSTR"]),
];

/// Words of a variable's name that say that it is about a database.
const DATABASE: [&str; 10] = [
    "DB",
    "DATABASE",
    "DATASOURCE",
    "PG",
    "PGSQL",
    "PSQL",
    "POSTGRES",
    "POSTGRESQL",
    "POSTGRESDB",
    "RDS",
];

/// Databases of other kinds, as they appear in the names of variables and in their values.
const FOREIGN: [&str; 26] = [
    "MYSQL",
    "MARIA",
    "MONGO",
    "REDIS",
    "VALKEY",
    "SQLITE",
    "ORACLE",
    "MSSQL",
    "SQLSERVER",
    "CLICKHOUSE",
    "CASSANDRA",
    "SCYLLA",
    "ELASTIC",
    "OPENSEARCH",
    "INFLUX",
    "NEO4J",
    "COUCH",
    "DYNAMO",
    "DUCKDB",
    "LIBSQL",
    "TURSO",
    "VECTOR",
    "QDRANT",
    "CHROMA",
    "WORDPRESS",
    "MEMCACHE",
];

/// Words of a variable's name whose value is the kind of the database.
const KINDS: [&str; 10] = [
    "TYPE",
    "CONNECTION",
    "CLIENT",
    "ENGINE",
    "DRIVER",
    "DIALECT",
    "ADAPTER",
    "VENDOR",
    "DB",
    "DATABASE",
];

/// The variables whose names begin with `prefix` and then mean the parameter `key`, in other words
/// or mistyped.
pub(super) fn near_misses<'a>(
    variables: impl Iterator<Item = (&'a str, &'a str)>,
    prefix: &str,
    key: &str,
) -> Vec<(&'a str, &'a str)> {
    let words = words(key);
    let means = |name: &str| {
        let name = plain(name);
        let Some(rest) = name.strip_prefix(prefix) else { return false };
        let rest = rest.replace('_', "");
        words.iter().any(|word| rest == *word || is_typo(&rest, word))
    };
    variables.filter(|(name, _)| means(name)).collect()
}

/// The variables that look as if they named a database of PostgreSQL.
pub(super) fn of_databases<'a>(
    variables: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> Vec<&'a str> {
    let is_foreign = |text: &str| {
        let text = text.to_ascii_uppercase();
        FOREIGN.iter().any(|foreign| text.contains(foreign))
    };
    // `DB_CONNECTION=mysql`: what is called DB is of that kind.
    let other_kind = variables.clone().any(|(name, value)| {
        let name = plain(name);
        name.rsplit('_').next().is_some_and(|last| KINDS.contains(&last))
            && name.split('_').any(|word| DATABASE.contains(&word))
            && is_foreign(value)
    });
    let looks_like_one = |(name, value): &(&str, &str)| {
        if url::is_postgres(value) {
            return true;
        }
        let name = plain(name);
        let is_known = !other_kind || name.contains("PG") || name.contains("POSTGRES");
        is_known
            && !value.contains("://")
            && !is_foreign(&name)
            // What Kubernetes and Docker set for a service called `db`.
            && !name.contains("SERVICE_")
            && !name.contains("_TCP_")
            && is_of_database(&name)
    };
    variables.filter(looks_like_one).map(|(name, _)| name).collect()
}

/// Whether a variable that premain reads is a part of a login.
pub(super) fn is_login(name: &str) -> bool {
    is_of_database(name) && !name.ends_with("PORT")
}

/// Whether a name is about a database, and ends in what could be one of its parameters.
fn is_of_database(name: &str) -> bool {
    let is_parameter =
        |word: &str| WORDS.iter().any(|(key, words)| *key != "port" && words.contains(&word));
    let name = name.replace("CONNECTION_STRING", "CONNECTIONSTRING");
    let words: Vec<&str> = name.split('_').filter(|word| !word.is_empty()).collect();
    let Some((last, before)) = words.split_last() else { return false };
    let is_glued = ["PG", "DB", "POSTGRES", "DATABASE"]
        .iter()
        .any(|prefix| last.strip_prefix(prefix).is_some_and(is_parameter));
    is_glued || is_parameter(last) && before.iter().any(|word| DATABASE.contains(word))
}

fn words(key: &str) -> &'static [&'static str] {
    WORDS.iter().find(|(known, _)| *known == key).map_or(&[], |(_, words)| words)
}

/// In capitals, without `_FILE`.
fn plain(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_suffix("_FILE").unwrap_or(&name).to_owned()
}

/// One mistake in four letters, or two neighbours in the wrong order.
fn is_typo(given: &str, word: &str) -> bool {
    let letters = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    match mistakes(given, word) {
        2 if letters(given) == letters(word) => true,
        count => count <= word.len() / 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_in_other_words_or_mistyped_is_a_near_miss() {
        for (prefix, key, name) in [
            ("POSTGRES_", "user", "POSTGRES_USERNAME"),
            ("POSTGRES_", "user", "POSTGRES_USRE"),
            ("POSTGRES_", "dbname", "POSTGRES_DATABASE"),
            ("POSTGRES_", "dbname", "POSTGRES_DB_NAME"),
            ("POSTGRES_", "password", "POSTGRES_PASSWROD"),
            ("POSTGRES_", "password", "POSTGRES_PASS_FILE"),
            ("DB_", "user", "DB_USERNAME"),
            ("DB_", "dbname", "DB_DATABASE"),
            ("PG", "user", "PGUSERNAME"),
            ("PG", "dbname", "PG_DATABASE"),
        ] {
            let found = near_misses([(name, "x")].into_iter(), prefix, key);
            assert_eq!(found, [(name, "x")], "{name}");
        }
        for (prefix, key, name) in [
            ("POSTGRES_", "password", "POSTGRES_INITDB_ARGS"),
            ("POSTGRES_", "password", "POSTGRES_PASSWORD_ENCRYPTION"),
            ("POSTGRES_", "user", "POSTGRES_HOST_AUTH_METHOD"),
            ("POSTGRES_", "port", "POSTGRES_SERVICE_PORT"),
            ("POSTGRES_", "port", "POSTGRES_PORT_5432_TCP"),
            ("DB_", "dbname", "DB_TYPE"),
            ("DB_", "port", "DB_POOL"),
            ("PG", "dbname", "PGDATA"),
            ("PG", "password", "PGPASSFILE"),
        ] {
            assert!(near_misses([(name, "x")].into_iter(), prefix, key).is_empty(), "{name}");
        }
    }

    #[test]
    fn variables_that_name_a_database_are_told_from_those_that_do_not() {
        for (name, value) in [
            ("DB_USERNAME", "u"),
            ("DATABASE_HOST", "h"),
            ("PG_DATABASE_URL", "x"),
            ("SQLALCHEMY_DATABASE_URI", "postgresql+psycopg://u@h/d"),
            ("APP_DSN", "postgres://u@h/d"),
            ("SPRING_DATASOURCE_URL", "jdbc:postgresql://h/d"),
            ("KC_DB_USERNAME", "u"),
            ("GITEA__database__HOST", "h"),
            ("DB_POSTGRESDB_HOST", "h"),
            ("DB_PASSWORD_FILE", "/run/secrets/p"),
            ("DBHOST", "h"),
            ("PGUSERNAME", "u"),
            ("DB_CONNECTION_STRING", "Host=h"),
        ] {
            assert_eq!(of_databases([(name, value)].into_iter()), [name]);
        }
        for (name, value) in [
            ("MYSQL_HOST", "h"),
            ("MYSQL_DATABASE", "d"),
            ("REDIS_URL", "redis://h"),
            ("REDIS_DB", "0"),
            ("MONGO_DB_HOST", "h"),
            ("DB_URL", "mysql://h/d"),
            ("VECTOR_DB_URL", "http://h"),
            ("DB_SERVICE_HOST", "10.0.0.7"),
            ("POSTGRES_PORT_5432_TCP_ADDR", "10.0.0.7"),
            ("PG_MAJOR", "17"),
            ("PG_VERSION", "17.1"),
            ("PGDATA", "/data"),
            ("DB_FILE", "/data/app.db"),
            ("DB_POOL_SIZE", "5"),
            ("HOSTNAME", "h"),
            ("USER", "u"),
            ("SMTP_HOST", "h"),
            ("PGTZ", "UTC"),
        ] {
            assert_eq!(of_databases([(name, value)].into_iter()), [""; 0], "{name}");
        }
        let laravel = [("DB_CONNECTION", "mysql"), ("DB_USERNAME", "u"), ("DB_DATABASE", "d")];
        assert_eq!(of_databases(laravel.into_iter()), [""; 0]);
    }
}
