use std::path::PathBuf;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

use super::super::url;
use super::*;
use crate::database::settings::{ChannelBinding, RequireAuth, RootCertificates, Tls};

/// What a connection string in `DATABASE_URL` means, with the warnings; else everything that is
/// wrong with it.
fn judged(text: &str) -> Result<(Database, Vec<String>), String> {
    let parts = url::parse(text)?;
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    let database = Settings::of_url("DATABASE_URL", parts).database(&mut problems, &mut warnings);
    let reasons: Vec<_> = problems.iter().map(|p| format!("{} {}", p.name, p.what)).collect();
    assert_eq!(database.is_none(), !problems.is_empty(), "{text}");
    database.map(|database| (database, warnings)).ok_or_else(|| reasons.join("\n"))
}

fn database(text: &str) -> Database {
    let (database, warnings) = judged(text).unwrap_or_else(|reasons| panic!("{text}: {reasons}"));
    assert_eq!(warnings, [""; 0], "{text}");
    database
}

fn problem(text: &str) -> String {
    judged(text).expect_err(text)
}

fn tls(query: &str) -> Tls {
    database(&format!("postgres://u@h/d?{query}")).tls
}

fn tls_problem(query: &str) -> String {
    problem(&format!("postgres://u@h/d?{query}"))
}

#[test]
fn a_plain_url_means_what_it_says() {
    let expected = Database {
        hosts: vec![Host::new("db", 5433)],
        user: "u".to_owned(),
        password: Some(Secret::new("p")),
        name: "d".to_owned(),
        tls: Tls::default(),
        require_auth: None,
        require_peer: None,
        options: None,
        application_name: None,
        session: SessionTarget::Any,
        schema: None,
        connect_timeout: None,
        origin: "DATABASE_URL".to_owned(),
    };
    assert_eq!(database("postgresql://u:p@db:5433/d"), expected);
    assert_eq!(database("host=db port=5433 user=u password=p dbname=d"), expected);
}

#[test]
fn the_database_is_called_as_the_user_unless_it_is_named() {
    assert_eq!(database("postgres://u@h").name, "u");
    assert_eq!(database("postgres://u@h").to_string(), "u@h:5432/u");
}

#[test]
fn a_user_is_needed() {
    assert!(problem("postgres://h/d").contains("DATABASE_URL names no user"));
}

#[test]
fn hosts_and_ports_pair_as_in_libpq() {
    for (text, hosts) in [
        ("postgres://u@/d", "localhost:5432"),
        ("postgres://u@a,b/d", "a:5432,b:5432"),
        ("postgres://u@a:1,b/d", "a:1,b:5432"),
        ("postgres://u@/d?host=a,b&port=1", "a:1,b:1"),
        ("postgres://u@/d?host=a,b&port=1,2", "a:1,b:2"),
        ("postgres://u@[::1]:1,[::2]/d", "[::1]:1,[::2]:5432"),
        ("postgres://u@[fe80::1%25eth0]/d", "[fe80::1%eth0]:5432"),
        ("postgres://u@%2Frun%2Fpg:6/d", "/run/pg/.s.PGSQL.6"),
        ("postgres://u@localhost:6/d?host=/run/pg", "/run/pg/.s.PGSQL.6"),
        (
            "postgres://u@/d?host=/cloudsql/project:region:name",
            "/cloudsql/project:region:name/.s.PGSQL.5432",
        ),
        ("postgres://u@/d?host=/run/pg,h", "/run/pg/.s.PGSQL.5432,h:5432"),
        ("postgres://u@/d?hostaddr=10.0.0.7", "10.0.0.7:5432"),
        ("postgres://u@h/d?hostaddr=10.0.0.7", "10.0.0.7:5432"),
        ("postgres://u@a,b/d?hostaddr=,10.0.0.7", "a:5432,10.0.0.7:5432"),
        ("postgres://u@h/d?hostaddr=10.0.0.7&sslmode=verify-full", "10.0.0.7:5432"),
        ("postgres://u@h/d?hostaddr=::1", "[::1]:5432"),
    ] {
        assert_eq!(database(text).to_string(), format!("u@{hosts}/d"), "{text}");
    }
}

#[test]
fn hosts_that_cannot_be_are_problems() {
    for (text, said) in [
        ("postgres://u@h:99999/d", "says port=99999, not a port from 1 to 65535"),
        ("postgres://u@h:0/d", "says port=0"),
        ("postgres://u@h:-1/d", "says port=-1"),
        ("postgres://u@/d?host=a,b&port=1,2,3", "2 hosts and 3 ports"),
        ("postgres://u@/d?host=a,b&hostaddr=::1", "2 hosts and 1 hostaddrs"),
        ("postgres://u@h/d?hostaddr=db", "hostaddr=db, not an IP address"),
        ("postgres://u@/d?hostaddr=::1&sslmode=verify-full", "no host to verify"),
        ("postgres://u@h%20h/d", "says host=h h"),
        ("postgres://u@/d?host=db:5432", "without a port"),
    ] {
        assert!(problem(text).contains(said), "{text}: {}", problem(text));
    }
}

#[test]
fn a_password_whose_host_was_forgotten_is_not_shown() {
    for text in ["postgres://u:hunter2/d", "postgres://u:hunter2"] {
        let said = problem(text);
        assert!(said.contains("add '@HOST' after the password"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn every_sslmode_of_every_driver() {
    use SslMode::{Disable, NoVerify, Prefer, Require, VerifyCa, VerifyFull};
    for (query, mode) in [
        ("", Prefer),
        ("sslmode=disable", Disable),
        ("sslmode=allow", Prefer),
        ("sslmode=prefer", Prefer),
        ("sslmode=require", Require),
        ("sslmode=verify-ca", VerifyCa),
        ("sslmode=verify-full", VerifyFull),
        ("sslmode=no-verify", NoVerify),
        ("ssl=true", Require),
        ("ssl=1", Require),
        ("ssl=false", Disable),
        ("ssl=0", Disable),
        ("ssl=no-verify", NoVerify),
        ("ssl=require", Require),
        ("ssl=verify-full", VerifyFull),
        ("ssl=true&sslmode=verify-full", VerifyFull),
        ("ssl=false&sslmode=require", Require),
        ("sslmode=require&sslaccept=strict", VerifyFull),
        ("sslmode=require&sslaccept=accept_invalid_certs", NoVerify),
        ("sslaccept=strict", Prefer),
        ("sslmode=verify-ca&sslaccept=accept_invalid_certs", VerifyCa),
        ("uselibpqcompat=true&sslmode=require", Require),
    ] {
        assert_eq!(tls(query).mode, mode, "{query}");
    }
}

#[test]
fn tls_words_that_do_not_exist_are_problems_that_list_those_that_do() {
    let modes = "disable, allow, prefer, require, verify-ca, verify-full, no-verify";
    assert_eq!(
        tls_problem("sslmode=on"),
        format!("DATABASE_URL says sslmode=on, not one of {modes}")
    );
    assert!(tls_problem("ssl={\"rejectUnauthorized\":false}").contains("no-verify"));
    assert!(tls_problem("sslaccept=maybe").contains("strict, accept_invalid_certs"));
    assert!(tls_problem("channel_binding=maybe").contains("disable, prefer, require"));
    assert!(tls_problem("sslnegotiation=maybe").contains("postgres, direct"));
}

#[test]
fn system_roots_mean_full_verification() {
    let expected =
        Tls { mode: SslMode::VerifyFull, root: Some(RootCertificates::System), ..Tls::default() };
    assert_eq!(tls("sslrootcert=system"), expected);
    assert_eq!(tls("sslrootcert=system&sslmode=verify-full"), expected);
    assert!(tls_problem("sslrootcert=system&sslmode=require").contains("verify-full"));
}

/// A directory with a certificate, two keys and something else.
fn files() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("cert.pem", "-----BEGIN CERTIFICATE-----\n"),
        ("key.pem", "-----BEGIN PRIVATE KEY-----\n"),
        ("locked.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
        ("note.txt", "hello"),
    ] {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    directory
}

#[test]
fn certificates_are_files_that_exist() {
    let directory = files();
    let file = |name: &str| directory.path().join(name);
    let query = format!(
        "sslmode=verify-ca&sslrootcert={0}/cert.pem&sslcert={0}/cert.pem&sslkey={0}/key.pem",
        directory.path().display()
    );
    let tls = tls(&query);
    assert_eq!(tls.root, Some(RootCertificates::File(file("cert.pem"))));
    assert_eq!(tls.client, Some((file("cert.pem"), file("key.pem"))));
}

#[test]
fn certificates_that_cannot_work_are_problems_that_name_the_file() {
    let directory = files();
    let path = directory.path().display();
    for (query, said) in [
        (
            format!("sslrootcert={path}/none.pem"),
            format!("{path}/none.pem, which cannot be read: No such file"),
        ),
        (format!("sslrootcert={path}"), "cannot be read: Is a directory".to_owned()),
        ("sslrootcert=/dev/zero".to_owned(), "which is larger than 16 MB".to_owned()),
        (format!("sslrootcert={path}/note.txt"), "without a PEM block of a CERTIFICATE".to_owned()),
        (format!("sslcert={path}/cert.pem"), "no sslkey to sslcert in DATABASE_URL".to_owned()),
        (format!("sslkey={path}/key.pem"), "no sslcert to sslkey in DATABASE_URL".to_owned()),
        (
            format!("sslcert={path}/cert.pem&sslkey={path}/locked.pem"),
            "an encrypted key".to_owned(),
        ),
        (format!("sslcert={path}/cert.pem&sslkey={path}/cert.pem"), "of a PRIVATE KEY".to_owned()),
        (format!("sslidentity={path}/x.p12&sslpassword=hunter2"), "PKCS#12".to_owned()),
    ] {
        let problem = tls_problem(&query);
        assert!(problem.contains(&said), "{query}: {problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn prismas_sslcert_is_the_servers_authority() {
    let directory = files();
    let file = directory.path().join("cert.pem");
    let tls = tls(&format!("sslmode=require&sslaccept=strict&sslcert={}", file.display()));
    assert_eq!(tls.root, Some(RootCertificates::File(file)));
    assert_eq!(tls.client, None);
}

#[test]
fn without_tls_nobody_looks_at_certificates() {
    assert_eq!(tls("sslmode=disable&sslrootcert=/none").root, None);
    let socket = database("postgres://u@/d?host=/run/pg&sslmode=verify-full&sslrootcert=/none");
    assert_eq!(socket.tls.root, None);
}

#[test]
fn channel_binding_takes_tls() {
    assert_eq!(tls("channel_binding=require").channel_binding, ChannelBinding::Require);
    assert_eq!(tls("channel_binding=disable").channel_binding, ChannelBinding::Disable);
    assert!(tls_problem("channel_binding=require&sslmode=disable").contains("needs TLS"));
    assert!(problem("postgres://u@/d?host=/run&channel_binding=require").contains("needs TLS"));
}

#[test]
fn direct_negotiation_takes_certain_tls() {
    assert!(tls("sslnegotiation=direct&sslmode=require").direct);
    assert!(!tls("sslnegotiation=postgres").direct);
    assert!(tls_problem("sslnegotiation=direct").contains("sslmode=require"));
}

#[test]
fn sessions_are_as_libpq_calls_them() {
    use SessionTarget::{Any, PreferStandby, Primary, ReadOnly, ReadWrite, Standby};
    for (word, session) in [
        ("any", Any),
        ("read-write", ReadWrite),
        ("read-only", ReadOnly),
        ("primary", Primary),
        ("standby", Standby),
        ("prefer-standby", PreferStandby),
    ] {
        let text = format!("postgres://u@h/d?target_session_attrs={word}");
        assert_eq!(database(&text).session, session);
    }
    assert!(tls_problem("target_session_attrs=master").contains("read-write"));
}

#[test]
fn a_timeout_is_in_seconds_and_zero_is_none() {
    let timeout =
        |text| database(&format!("postgres://u@h/d?connect_timeout={text}")).connect_timeout;
    assert_eq!(timeout("10"), Some(Duration::from_secs(10)));
    assert_eq!(timeout("0"), None);
    assert_eq!(timeout("-1"), None);
    assert!(tls_problem("connect_timeout=5s").contains("connect_timeout=5s, not a whole number"));
}

#[test]
fn what_the_session_is_told() {
    let all = "application_name=a&fallback_application_name=b&options=-c%20x%3Dy&schema=Sales";
    let database = |query: &str| database(&format!("postgres://u@h/d?{query}"));
    assert_eq!(database(all).application_name.as_deref(), Some("a"));
    assert_eq!(database(all).options.as_deref(), Some("-c x=y"));
    assert_eq!(database(all).schema.as_deref(), Some("Sales"));
    assert_eq!(database("fallback_application_name=b").application_name.as_deref(), Some("b"));
}

#[test]
fn a_search_path_of_its_own_becomes_an_option() {
    let options = |query: &str| database(&format!("postgres://u@h/d?{query}")).options.unwrap();
    assert_eq!(options("search_path=a"), "-c search_path=a");
    assert_eq!(options("search_path=a, b&options=-c x=y"), "-c x=y -c search_path=a,\\ b");
}

#[test]
fn the_parameters_of_pools_are_passed_over_in_silence() {
    database(
        "postgres://u@h/d?connection_limit=1&pool_timeout=2&pgbouncer=true&socket_timeout=3\
         &statement_cache_size=0&max=10&min=1&idleTimeoutMillis=5&uselibpqcompat=true&keepalives=1\
         &keepalives_idle=5&tcp_user_timeout=9&sslsni=1&krbsrvname=x&gssencmode=prefer\
         &load_balance_hosts=random&client_encoding=utf8&x-migrations-table=m",
    );
}

#[test]
fn an_unknown_parameter_is_a_warning_that_names_it() {
    let (_, warnings) = judged("postgres://u@h/d?sslmod=require&passfile=/x").unwrap();
    assert_eq!(
        warnings,
        [
            "DATABASE_URL asks for passfile, which premain does not support",
            "DATABASE_URL has a parameter 'sslmod', which premain does not know",
        ]
    );
}

#[test]
fn what_premain_cannot_do_is_a_problem() {
    assert!(problem("service=prod user=u").contains("service file"));
    assert!(tls_problem("gssencmode=require").contains("TLS only"));
}

#[test]
fn an_address_is_connected_to_and_its_name_is_verified() {
    let hosts = database("postgres://u@db.example/d?hostaddr=10.0.0.7&sslmode=verify-full").hosts;
    let address = Some("10.0.0.7".parse().unwrap());
    assert_eq!(hosts, [Host::Tcp { host: "db.example".to_owned(), address, port: 5432 }]);
}

#[test]
fn methods_to_authenticate_are_a_list_of_which_all_or_none_are_negated() {
    use crate::database::settings::AuthMethod::{Md5, None, Password, ScramSha256};
    for (text, methods) in [
        ("scram-sha-256", &[ScramSha256][..]),
        ("none", &[None]),
        ("password, md5", &[Password, Md5]),
        ("!password", &[None, Md5, ScramSha256]),
        ("!password,!md5,!none", &[ScramSha256]),
        ("scram-sha-256,gss", &[ScramSha256]),
    ] {
        let found = database(&format!("postgres://u@h/d?require_auth={text}")).require_auth;
        let expected = RequireAuth { text: text.to_owned(), methods: methods.to_vec() };
        assert_eq!(found, Some(expected), "{text}");
    }
    for (text, said) in [
        ("md5,!password", "or of all with a '!'"),
        ("scram", "not a list of none, password"),
        ("password,", "not a list of none"),
        ("gss", "authenticates with password, md5 and scram-sha-256 only"),
        ("!none,!password,!md5,!scram-sha-256", "only"),
    ] {
        let problem = tls_problem(&format!("require_auth={text}"));
        assert!(problem.contains(said), "{text}: {problem}");
    }
}

#[test]
fn versions_of_tls_are_limited_to_those_that_premain_knows() {
    use crate::database::settings::TlsVersion::{V12, V13};
    for (query, version) in [
        ("ssl_min_protocol_version=TLSv1", None),
        ("ssl_min_protocol_version=TLSv1.2", None),
        ("ssl_min_protocol_version=TLSv1.3", Some(V13)),
        ("ssl_max_protocol_version=TLSv1.2", Some(V12)),
        ("ssl_max_protocol_version=TLSv1.3", None),
    ] {
        assert_eq!(tls(query).version, version, "{query}");
    }
    for query in [
        "ssl_max_protocol_version=TLSv1.1",
        "ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2",
    ] {
        assert!(tls_problem(query).contains("premain knows TLSv1.2 and TLSv1.3"), "{query}");
    }
    assert!(tls_problem("ssl_min_protocol_version=1.2").contains("not one of TLSv1,"));
}

#[test]
fn revoked_certificates_are_for_what_is_verified() {
    let directory = files();
    let path = directory.path().display();
    std::fs::write(directory.path().join("crl.pem"), "-----BEGIN X509 CRL-----\n").unwrap();
    let verified = format!("sslmode=verify-ca&sslrootcert={path}/cert.pem");
    let tls = tls(&format!("{verified}&sslcrl={path}/crl.pem&sslcrldir={path}"));
    assert_eq!(tls.revoked, Some(directory.path().join("crl.pem")));
    assert_eq!(tls.revoked_directory.as_deref(), Some(directory.path()));
    for (query, said) in [
        (format!("{verified}&sslcrl={path}/note.txt"), "PEM block of a X509 CRL"),
        (format!("{verified}&sslcrldir={path}/none"), "which cannot be read"),
        (format!("sslmode=require&sslcrl={path}/crl.pem"), "nothing is verified"),
        (format!("sslcrldir={path}"), "nothing is verified"),
    ] {
        assert!(tls_problem(&query).contains(said), "{query}: {}", tls_problem(&query));
    }
}

#[test]
fn a_string_that_is_no_connection_string_is_called_what_it_looks_like() {
    for (text, said) in [
        ("Host=db;Username=u;Password=hunter2;Database=d", "as .NET and ODBC write it"),
        ("Server=db;Port=5432;User Id=u;Password=hunter2", "as .NET and ODBC write it"),
        ("Data Source=db;Initial Catalog=d", "as .NET and ODBC write it"),
        ("Host=db", "has none of host=, user= and dbname="),
        ("password=hunter2", "has none of host=, user= and dbname="),
        ("jdbc:postgresql:shop?user=u&password=hunter2", "is a URL of JDBC without a host"),
        ("db:5432/shop", "is not postgres://"),
        ("postgres://u@h/d?sslmode=require&sslmode=disable", "two values for sslmode"),
        ("host=a host=b user=u", "two values for host"),
    ] {
        assert!(problem(text).contains(said), "{text}: {}", problem(text));
        assert!(!problem(text).contains("hunter2"), "{}", problem(text));
    }
    // Go's drivers pass what they do not know to the server.
    assert_eq!(judged("host=h user=u dbname=d TimeZone=UTC").unwrap().0.name, "d");
    assert_eq!(database("postgres://u@h/d?host=/run&sslmode=disable&sslmode=disable").name, "d");
}

#[test]
fn every_problem_is_told_at_once() {
    let problems = problem("postgres://h:0/d?sslmode=on&connect_timeout=x&channel_binding=y");
    for said in ["port", "sslmode", "connect_timeout", "channel_binding", "no user"] {
        assert!(problems.contains(said), "{said}: {problems}");
    }
}

#[test]
fn a_variable_of_its_own_is_blamed_by_its_name() {
    let parts = url::parse("postgres://u@h/d").unwrap();
    let mut settings = Settings::of_url("DATABASE_URL", parts);
    settings.fill("sslmode", "on", "PGSSLMODE");
    settings.fill("sslrootcert", "/none.pem", "PGSSLROOTCERT");
    settings.fill("user", "other", "PGUSER");
    let mut problems = Vec::new();
    assert_eq!(settings.database(&mut problems, &mut Vec::new()), None);
    let names: Vec<_> = problems.iter().map(|problem| problem.name.as_str()).collect();
    assert_eq!(names, ["PGSSLMODE", "PGSSLROOTCERT"]);
    assert!(problems[0].what.starts_with("is 'on', not one of"), "{problems:?}");
    assert!(problems[1].what.starts_with("is '/none.pem', which cannot be read"));
}

#[test]
fn settings_do_not_show_passwords() {
    let settings = Settings::of_url("X", url::parse("postgres://u:hunter2@h/d").unwrap());
    assert!(!format!("{settings:?}").contains("hunter2"));
}

proptest! {
    #[test]
    fn a_rendered_database_comes_back(
        user in "[^\0]+", password in "[^\0]+", name in "[^\0]+", port: u16, directory in "(/[a-z]{1,9}){1,3}",
    ) {
        prop_assume!(port != 0);
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let text = format!(
            "postgres://{}:{}@db:{port},{}/{}",
            encode(&user), encode(&password), encode(&directory), encode(&name),
        );
        let database = database(&text);
        prop_assert_eq!(database.user, user);
        prop_assert_eq!(database.password, Some(Secret::new(password)));
        prop_assert_eq!(database.name, name);
        prop_assert_eq!(database.hosts, [
            Host::new("db", port),
            Host::Unix { directory: PathBuf::from(directory), port: 5432 },
        ]);
    }

    #[test]
    fn no_parameters_make_the_judge_panic(
        query in "((host|port|sslmode|ssl|connect_timeout|hostaddr|options|sslcert)=[a-z0-9,:/.-]{0,12}&){0,5}",
    ) {
        let _ = judged(&format!("postgres://u@h/d?{query}"));
    }
}
