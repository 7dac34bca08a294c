//! The variables that name a database: each logs in to a real server, and each failure is explained.

use std::sync::OnceLock;

use crate::support::directory;
use crate::support::postgres::{Database, PASSWORD, Server};
use crate::support::premain::{Ended, Premain, premain};

/// A server that requires a password for TCP connections.
fn strict() -> &'static Server {
    static STRICT: OnceLock<Server> = OnceLock::new();
    STRICT.get_or_init(|| {
        let server = Server::start(&[]);
        server.hba("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n");
        server.reload();
        server
    })
}

/// The URL of one of its databases, with the password.
fn url(database: &Database<'_>) -> String {
    database.url().replace("postgres@", &format!("postgres:{PASSWORD}@"))
}

/// Applies one migration, in the database that these variables name, and shows its environment.
fn boot(variables: &[(&str, &str)]) -> Ended {
    let place = directory(&[("V1__here.sql", "CREATE TABLE here ()")]);
    let premain = premain(["--log", "trace", "--migrations"]).with(place.path()).with("env");
    variables.iter().fold(premain, |premain, (name, value)| premain.env(name, value)).run()
}

#[test]
fn each_set_of_variables_logs_in() {
    let server = strict();
    let port = server.port().to_string();
    let family = |names: [&'static str; 5]| {
        let database = server.database();
        let values = ["127.0.0.1", &port, "postgres", PASSWORD, &database.name];
        boot(&names.into_iter().zip(values).collect::<Vec<_>>()).code(0).says("1 applied");
        assert!(database.has_table("here"), "{names:?}");
    };
    family(["POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"]);
    family(["DB_HOST", "DB_PORT", "DB_USER", "DB_PASSWORD", "DB_NAME"]);
    family(["PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"]);
    family(["PGHOSTADDR", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"]);
    for name in ["DATABASE_URL", "DIRECT_URL", "MIGRATION_DATABASE_URL"] {
        let database = server.database();
        boot(&[(name, &url(&database))]).code(0);
        assert!(database.has_table("here"), "{name}");
    }
}

#[test]
fn a_direct_url_wins_over_database_url_and_a_url_over_host_variables() {
    let server = strict();
    let database = server.database();
    let ended = boot(&[
        ("MIGRATION_DATABASE_URL", &url(&database)),
        ("DATABASE_URL", "postgres://pooled:nobody@127.0.0.1:1/x"),
        ("POSTGRES_HOST", "nosuch.invalid"),
        ("PGHOST", "nosuch.invalid"),
    ])
    .code(0);
    assert!(database.has_table("here"));
    assert!(!ended.output.contains("MIGRATION_DATABASE_URL"), "{}", ended.output);
    assert!(ended.output.contains("DATABASE_URL=postgres://pooled:nobody@127.0.0.1:1/x\n"));
}

#[test]
fn common_url_spellings_log_in() {
    let server = strict();
    let socket = server.socket().display().to_string();
    let encoded = socket.replace('/', "%2F");
    let port = server.port();
    for url in [
        format!("postgres://postgres:{PASSWORD}@127.0.0.1:{port}/NAME"),
        format!(
            "postgresql://postgres:{PASSWORD}@localhost:{port}/NAME?connection_limit=5&pgbouncer=true"
        ),
        format!("postgres://127.0.0.1:{port}/NAME?user=postgres&password={PASSWORD}"),
        format!("postgres://postgres:canary%2Dhunter2@127.0.0.1:{port}/NAME"),
        format!("host=127.0.0.1 port={port} user=postgres password='{PASSWORD}' dbname=NAME"),
        format!("postgres://postgres:{PASSWORD}@127.0.0.1:1,127.0.0.1:{port}/NAME"),
        // The unix socket, in four spellings.
        format!("postgres:///NAME?host={socket}&port={port}&user=postgres"),
        format!("postgres://postgres@{encoded}:{port}/NAME"),
        format!("postgres://postgres@localhost:{port}/NAME?host={socket}"),
        format!("host={socket} port={port} user=postgres dbname=NAME sslmode=require"),
    ] {
        let database = server.database();
        boot(&[("DATABASE_URL", &url.replace("NAME", &database.name))]).code(0);
        assert!(database.has_table("here"), "{url}");
    }
}

#[test]
fn passwords_with_special_characters_work_with_every_authentication_method() {
    let server = Server::start(&[]);
    let hard = "p@ss:w/o?r#d% 'é\\";
    let encoded = "p%40ss%3Aw%2Fo%3Fr%23d%25%20%27%C3%A9%5C";
    let sql = hard.replace('\'', "''");
    for (kind, encryption) in [("scram", "scram-sha-256"), ("md5", "md5")] {
        let set = format!("SET password_encryption = '{encryption}'");
        server.psql("postgres", &format!("{set}; CREATE ROLE {kind} LOGIN PASSWORD '{sql}'"));
    }
    for (method, roles) in [
        ("scram-sha-256", &["scram"][..]),
        ("md5", &["scram", "md5"]),
        ("password", &["scram", "md5"]),
    ] {
        server.hba(&format!("local all all trust\nhost all all all {method}\n"));
        server.reload();
        for role in roles {
            let port = server.port();
            let url = format!("postgres://{role}:{encoded}@127.0.0.1:{port}/postgres");
            premain(["wait"]).database(url).run().code(0).says_nothing_of("p@ss");
        }
    }
    let without_password = format!("postgres://scram@127.0.0.1:{}/postgres", server.port());
    premain(["wait"])
        .database(without_password)
        .run()
        .code(78)
        .says("the server asks for a password, and none is configured");
}

/// How premain ends that waits for this URL, with this variable.
fn wait(url: String, (name, value): (&str, &str)) -> Ended {
    premain(["wait", "--log", "trace"]).database(url).env(name, value).run()
}

#[test]
fn the_server_authenticates_as_require_auth_allows_or_not_at_all() {
    let server = Server::start(&[]);
    for (role, encryption) in [("scram", "scram-sha-256"), ("md5", "md5")] {
        let set = format!("SET password_encryption = '{encryption}'");
        server.psql("postgres", &format!("{set}; CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"));
    }
    for (method, role, cases) in [
        ("trust", "scram", [("none", 0), ("!md5", 0), ("!none", 78), ("scram-sha-256", 78)]),
        ("password", "scram", [("password", 0), ("!none", 0), ("!password", 78), ("md5", 78)]),
        ("md5", "md5", [("md5", 0), ("md5,password", 0), ("!md5", 78), ("scram-sha-256", 78)]),
        (
            "scram-sha-256",
            "scram",
            [("scram-sha-256", 0), ("!password,!md5", 0), ("!scram-sha-256", 78), ("none", 78)],
        ),
    ] {
        server.hba(&format!("local all all trust\nhost all all all {method}\n"));
        server.reload();
        let url = format!("postgres://{role}:{PASSWORD}@127.0.0.1:{}/postgres", server.port());
        for (allowed, code) in cases {
            let by_url = wait(format!("{url}?require_auth={allowed}"), ("A", "b"));
            let by_variable = wait(url.clone(), ("PGREQUIREAUTH", allowed));
            for ended in [by_url, by_variable] {
                assert_eq!(ended.code, code, "{method}, {allowed}: {}", ended.log);
                assert!(code == 0 || ended.log.contains("does not allow"), "{}", ended.log);
                assert_eq!(ended.lines_with("waiting for"), 0, "{}", ended.log);
            }
        }
    }
}

#[test]
fn the_server_behind_a_socket_runs_as_requirepeer_says_or_gets_no_login() {
    let server = strict();
    let user = if nix::unistd::geteuid().is_root() { "postgres" } else { "root" };
    let socket = server.database().socket_url();
    let joined = if socket.contains('?') { '&' } else { '?' };
    for (peer, code, said) in [
        (user, 0, ""),
        ("daemon", 78, "the server runs as user"),
        ("nosuch", 78, "no such user in /etc/passwd"),
    ] {
        wait(format!("{socket}{joined}requirepeer={peer}"), ("A", "b")).code(code).says(said);
        wait(socket.clone(), ("PGREQUIREPEER", peer)).code(code).says(said);
    }
    // As in libpq, it is about sockets only.
    wait(url(&server.database()), ("PGREQUIREPEER", "daemon")).code(0);
}

#[test]
fn a_string_that_is_no_connection_string_stops_the_start_at_once() {
    for (text, said) in [
        ("Host=db;Username=u;Password=canary-hunter2", "as .NET and ODBC write it"),
        ("jdbc:postgresql:shop?user=u&password=canary-hunter2", "is a URL of JDBC"),
        ("u:canary-hunter2/shop", "is not postgres://USER:PASSWORD@HOST:PORT/DATABASE"),
        ("postgres://u@h/d?gssencmode=require", "encrypts with TLS only"),
        ("postgres://u@h/d?sslmode=require&sslmode=disable", "two values for sslmode"),
    ] {
        let ended = premain(["true"]).env("DATABASE_URL", text).run().code(78).says(said);
        assert_eq!(ended.lines_with("waiting for"), 0, "{}", ended.log);
    }
    premain(["true"]).env("PGSERVICE", "prod").run().code(78).says("PGSERVICE names a service");
}

#[test]
fn a_database_that_is_probably_another_than_is_meant_is_not_migrated() {
    let server = strict();
    let database = server.database();
    let port = server.port().to_string();
    let common = [
        ("POSTGRES_HOST", "127.0.0.1"),
        ("POSTGRES_PORT", &*port),
        ("POSTGRES_PASSWORD", PASSWORD),
    ];
    let meant = [("POSTGRES_USERNAME", "clerk"), ("POSTGRES_DATABASE", &*database.name)];
    boot(&[&common[..], &meant].concat())
        .code(78)
        .says("POSTGRES_USERNAME (for POSTGRES_USER), POSTGRES_DATABASE (for POSTGRES_DB)")
        .says_nothing_of("clerk");
    assert_eq!(server.psql("postgres", "SELECT to_regclass('here') IS NULL"), "t");
    // Of the whole family nothing is missing.
    let whole = [("POSTGRES_USER", "postgres"), ("POSTGRES_DB", &*database.name)];
    boot(&[&common[..], &meant, &whole].concat()).code(0);
    assert!(database.has_table("here"));
}

#[test]
fn variables_that_are_not_read_are_named_where_no_database_is_configured() {
    for variables in [
        &[("DB_USERNAME", "clerk"), ("DB_DATABASE", "shop"), ("DB_HOST", "127.0.0.1")][..],
        &[("DATABASE_HOST", "h"), ("DATABASE_USER", "clerk")],
        &[("PG_DATABASE_URL", "postgres://clerk@h/d")],
        &[("POSTGRES_USER", "clerk")],
    ] {
        let (name, _) = variables[0];
        boot(variables)
            .code(78)
            .says("the environment does not name the database that --migrations needs")
            .says(name)
            .says_nothing_of("clerk");
    }
    let plain = |name: &str, value: &str| premain(["true"]).env(name, value).run().code(0);
    plain("DB_USERNAME", "u")
        .says("warning: the environment does not name a database")
        .says("DB_USERNAME");
    for (name, value) in [("MYSQL_HOST", "h"), ("REDIS_URL", "redis://h"), ("PGDATA", "/data")] {
        plain(name, value).says_nothing_of("warning");
    }
}

#[test]
fn a_root_with_nothing_but_premain_is_enough_to_log_in() {
    let root = directory(&[]);
    std::fs::copy(env!("CARGO_BIN_EXE_premain"), root.path().join("premain")).unwrap();
    let mut command = std::process::Command::new(crate::support::program("chroot", "coreutils"));
    command.arg(root.path()).arg("/premain");
    // SCRAM needs random numbers, and there is no /dev/urandom.
    Premain::of(command).words(["wait"]).database(url(&strict().database())).run().code(0);
}

#[test]
fn file_variables_are_read_and_the_application_gets_their_values() {
    let server = strict();
    let (database, other) = (server.database(), server.database());
    let files = directory(&[
        ("url", &format!("{}\n", url(&database))),
        ("other", &format!("{}\r\n\n", url(&other))),
        ("password", &format!("{PASSWORD}\n")),
    ]);
    let path = |name: &str| files.path().join(name).display().to_string();

    let ended = boot(&[
        ("DATABASE_URL_FILE", &path("url")),
        ("MIGRATION_DATABASE_URL_FILE", &path("other")),
        ("POSTGRES_PASSWORD_FILE", &path("password")),
    ])
    .code(0);
    assert!(other.has_table("here") && !database.has_table("here"));
    let lines: Vec<_> = ended.output.lines().collect();
    assert!(lines.contains(&format!("DATABASE_URL={}", url(&database)).as_str()), "{lines:?}");
    assert!(lines.contains(&format!("POSTGRES_PASSWORD={PASSWORD}").as_str()), "{lines:?}");
    assert!(!ended.output.contains("_FILE") && !ended.output.contains("MIGRATION_"), "{lines:?}");

    let port = server.port().to_string();
    boot(&[
        ("POSTGRES_HOST", "127.0.0.1"),
        ("POSTGRES_PORT", &port),
        ("POSTGRES_PASSWORD_FILE", &path("password")),
        ("POSTGRES_DB", &database.name),
    ])
    .code(0);
    assert!(database.has_table("here"));

    boot(&[("DATABASE_URL_FILE", &path("url")), ("DATABASE_URL", &url(&database))])
        .code(78)
        .says("DATABASE_URL_FILE and DATABASE_URL are both set; keep one");
    boot(&[("DATABASE_URL_FILE", "/no/such/file")])
        .code(78)
        .says("DATABASE_URL_FILE is '/no/such/file', which cannot be read");
}

#[test]
fn an_option_wins_over_its_variable() {
    let database = strict().database();
    let place = directory(&[("V1__here.sql", "CREATE TABLE here ()")]);
    let boot = || premain(["--log", "info"]).database(url(&database)).env("PREMAIN_LOG", "error");
    let ended = boot()
        .env("PREMAIN_MIGRATIONS", "none")
        .words(["--migrations"])
        .with(place.path())
        .with("true")
        .run()
        .code(0);
    ended.says("migration V1__here applied");
    boot().env("PREMAIN_MIGRATIONS", place.path()).with("true").run().code(0).says("none pending");
}

#[test]
fn all_configuration_errors_are_reported_at_once() {
    let wrong = |premain: Premain| {
        premain
            .env("DATABASE_URL", format!("postgres://u:{PASSWORD}@h:99999/d?sslmode=maybe"))
            .env("POSTGRES_PASSWORD_FILE", "/no/such/file")
            .env("PREMAIN_GRACE", "soon")
            .env("PREMAIN_LOG_FORMAT", "xml")
            .run()
    };
    let ended = wrong(premain(["true"])).code(78);
    for text in [
        "DATABASE_URL says port=99999",
        "DATABASE_URL says sslmode=maybe",
        "POSTGRES_PASSWORD_FILE is '/no/such/file'",
        "PREMAIN_GRACE is 'soon', not a duration",
        "PREMAIN_LOG_FORMAT is 'xml', not one of text, json",
    ] {
        assert_eq!(ended.lines_with(text), 1, "{text}: {}", ended.log);
    }
    assert_eq!(ended.log.lines().count(), 5, "{}", ended.log);
    wrong(premain(["--ddl-retries", "few", "true"])).code(64).says("--ddl-retries is 'few'");
    wrong(premain(["--no-such-option"])).code(64).says("unknown option '--no-such-option'");
}

#[test]
fn an_empty_value_is_an_error_only_where_the_default_is_less_safe() {
    let running = |words: &[&str]| premain(words).with("/bin/echo").with("started");
    for option in ["user", "grace", "migrations", "rewrite", "generate"] {
        let named = format!("--{option} is empty; give it a value");
        let ended = running(&[&format!("--{option}"), ""]).run().code(64).says(&named);
        assert!(ended.output.is_empty(), "{}", ended.output);
    }
    for variable in ["PREMAIN_USER", "PREMAIN_DROP_ENV"] {
        let named = format!("{variable} is empty; give it a value");
        let ended = running(&[]).env(variable, " ").run().code(78).says(&named);
        assert!(ended.output.is_empty(), "{}", ended.output);
    }
    let empty = running(&[]).env("PREMAIN_GRACE", "").env("PREMAIN_MIGRATIONS", " ").run().code(0);
    assert_eq!(empty.output, "started\n");
    for (words, named) in [
        (&["resolve", "--applied", ""][..], "--applied is empty; give it a value (VERSION)"),
        (&["baseline", ""], "an argument of 'premain baseline [VERSION]' is empty"),
    ] {
        premain(words).run().code(64).says(named);
    }
}

#[test]
fn two_values_for_one_option_are_an_error() {
    premain(["--grace", "3s", "--grace", "4s", "true"])
        .run()
        .code(64)
        .says("--grace is given twice, as '3s' and as '4s'; keep one");
    // The log is searched for the password in the harness.
    let generate = || format!("--generate=echo {PASSWORD}");
    premain([generate(), generate(), "true".to_owned()])
        .run()
        .code(64)
        .says("--generate is given twice; keep one");
    premain(["--exec", "--exec", "true"]).run().code(0);
}

#[test]
fn unknown_premain_variables_are_a_warning_that_suggests_a_name() {
    premain(["true"])
        .env("PREMAIN_WAITTIMEOUT", "5s")
        .run()
        .code(0)
        .says("warning: unknown variable PREMAIN_WAITTIMEOUT is ignored")
        .says("did you mean PREMAIN_WAIT_TIMEOUT?");
    premain(["true"])
        .database("mysql://root@h/d")
        .run()
        .code(0)
        .says("warning: DATABASE_URL is ignored: it is a mysql URL, not one of PostgreSQL");
}

#[test]
fn the_schema_parameter_names_the_schema_of_tables_and_history() {
    let database = strict().database();
    for _ in 0..2 {
        boot(&[("DATABASE_URL", &format!("{}?schema=My%20%22own%22", url(&database)))]).code(0);
    }
    let tables = "SELECT schemaname, tablename FROM pg_tables \
                  WHERE schemaname !~ '^(pg_|information_schema)' ORDER BY 2";
    let own = "My \"own\"";
    assert_eq!(database.psql(tables), format!("{own}|here\n{own}|refinery_schema_history"));

    // A role that may not create schemas can use one that exists.
    let role = format!("tenant_{}", database.name);
    let login = format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'");
    database.psql(&format!("{login}; CREATE SCHEMA theirs AUTHORIZATION {role}"));
    let theirs = database.url().replace("postgres@", &format!("{role}:{PASSWORD}@"));
    boot(&[("DATABASE_URL", &format!("{theirs}?schema=theirs"))]).code(0);
    assert!(database.has_table("theirs.here"));
    boot(&[("DATABASE_URL", &format!("{theirs}?schema=denied"))])
        .code(77)
        .says("permission denied");
}

#[test]
fn session_parameters_of_the_url_reach_the_server() {
    let database = strict().database();
    let place = directory(&[(
        "V1__seen.sql",
        "CREATE TABLE seen AS SELECT current_setting('application_name') AS name, \
         current_setting('work_mem') AS memory",
    )]);
    premain(["--migrations"])
        .with(place.path())
        .with("migrate")
        .database(format!(
            "{}?application_name=my%20app&options=-c%20work_mem%3D12MB",
            url(&database)
        ))
        .run()
        .code(0);
    assert_eq!(database.psql("SELECT * FROM seen"), "my app|12MB");
}

#[test]
fn failures_show_no_secret() {
    let server = strict();
    let database = server.database();
    let port = server.port().to_string();
    let good = url(&database);
    let file = directory(&[("secret", &format!("postgres://u:{PASSWORD}@h:x/d"))]);
    let path = file.path().join("secret").display().to_string();
    let with = |text: &str| text.replace("SECRET", PASSWORD).replace("PORT", &port);
    let cases = [
        // A configuration that cannot work.
        ("DATABASE_URL", with("postgres://u:SECRET@h:x/d"), 78),
        ("DATABASE_URL", with("postgres://u:SECRET/d"), 78),
        ("DATABASE_URL", with("postgres://u:a?SECRET@h/d"), 78),
        ("DATABASE_URL", with("postgres://u:a#SECRET@nosuch.invalid/d"), 69),
        ("DATABASE_URL", with("postgres://u:a/SECRET@h/d"), 78),
        ("DATABASE_URL", with("host=h port=x user=u password=SECRET"), 78),
        ("DATABASE_URL", with("host=h user=u password='SECRET"), 78),
        ("DATABASE_URL_FILE", path, 78),
        ("PREMAIN_WAIT_FOR", with("postgres://u:SECRET@h:x/d"), 78),
        ("PREMAIN_GRACE", with("postgres://u:SECRET@h/d"), 78),
        // An unknown parameter.
        ("DATABASE_URL", with("postgres://postgres:SECRET@127.0.0.1:1/x?token=SECRET"), 69),
        // A server that rejects the login.
        ("DATABASE_URL", with("postgres://u:SECRET@127.0.0.1:PORT/d"), 77),
        ("DATABASE_URL", with("postgres://postgres:xSECRET@127.0.0.1:PORT/d"), 77),
        ("DATABASE_URL", with("postgres://postgres:SECRET@127.0.0.1:PORT/d?sslmode=require"), 78),
        ("DATABASE_URL", with("postgres://u:SECRET@nosuch.invalid/d"), 69),
    ];
    let running = cases.each_ref().map(|(name, value, _)| {
        premain(["--log", "trace", "--wait-timeout", "3s", "true"]).env(name, value).start()
    });
    for (running, (name, _, code)) in running.into_iter().zip(cases) {
        // `end` searches the log for the password.
        let ended = running.end();
        assert_eq!(ended.code, code, "{name}: {}", ended.log);
        assert!(ended.output.is_empty());
    }
    let wrong = directory(&[("V1__wrong.sql", "SELECT nonsense")]);
    premain(["--log", "trace", "--migrations"])
        .with(wrong.path())
        .with("true")
        .database(&good)
        .run()
        .code(76);
    let status = premain(["status", "--log", "trace"]).database(&good).run();
    assert!(!status.output.contains(PASSWORD), "{}", status.output);
}
