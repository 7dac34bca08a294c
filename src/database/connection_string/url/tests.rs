use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

use super::*;

/// The parts of a string that has some, the last one of a name counting.
fn parts(text: &str) -> std::collections::BTreeMap<String, String> {
    parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}")).parameters.into_iter().collect()
}

fn assert_parts(text: &str, expected: &[(&str, &str)]) {
    let expected = expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    assert_eq!(parts(text), expected.collect(), "{text}");
}

fn fault(text: &str) -> String {
    parse(text).expect_err(text)
}

#[test]
fn every_part_may_be_missing() {
    assert_parts("postgres://", &[]);
    assert_parts("postgresql://h", &[("host", "h")]);
    assert_parts("postgresql://h/", &[("host", "h")]);
    assert_parts("postgresql:///d", &[("dbname", "d")]);
    assert_parts("postgresql://u@", &[("user", "u")]);
    assert_parts("postgresql://u:@h", &[("user", "u"), ("host", "h")]);
    assert_parts("postgresql://:p@h", &[("password", "p"), ("host", "h")]);
    assert_parts("postgresql://:5433", &[("port", "5433")]);
    assert_parts("postgresql://?sslmode=require", &[("sslmode", "require")]);
    assert_parts("postgresql://h?sslmode=require&", &[("host", "h"), ("sslmode", "require")]);
}

#[test]
fn hosts_may_be_many() {
    assert_parts("postgres://a:1,b:2/d", &[("host", "a,b"), ("port", "1,2"), ("dbname", "d")]);
    assert_parts("postgres://a,b:2", &[("host", "a,b"), ("port", ",2")]);
    assert_parts("postgres://a,b", &[("host", "a,b")]);
}

#[test]
fn ipv6_stands_in_brackets() {
    assert_parts("postgres://[::1]", &[("host", "::1")]);
    assert_parts(
        "postgres://u:p@[2001:db8::1]:5433,h/d",
        &[
            ("user", "u"),
            ("password", "p"),
            ("host", "2001:db8::1,h"),
            ("port", "5433,"),
            ("dbname", "d"),
        ],
    );
    assert!(fault("postgres://[::1/d").contains("bracket"));
    assert!(fault("postgres://[::1]5432/d").contains("[ADDRESS]:PORT"));
    assert!(fault("postgres://::1/d").contains("[ADDRESS]:PORT"));
}

#[test]
fn a_directory_may_stand_for_a_host() {
    assert_parts("postgres://%2Fvar%2Frun/d", &[("host", "/var/run"), ("dbname", "d")]);
    assert_parts("postgres:///d?host=/var/run", &[("host", "/var/run"), ("dbname", "d")]);
}

#[test]
fn parameters_win_over_what_stands_in_front_of_them() {
    let text = "postgres://u:p@localhost:1/d?user=U&password=P&host=H&port=2&dbname=D";
    assert_parts(
        text,
        &[("user", "U"), ("password", "P"), ("host", "H"), ("port", "2"), ("dbname", "D")],
    );
}

#[test]
fn everything_may_be_percent_encoded() {
    assert_parts(
        "postgres://%75:p%40ss%2Fw%3a%23@%68/%64%20e?app%6Cication_name=a%26b",
        &[
            ("user", "u"),
            ("password", "p@ss/w:#"),
            ("host", "h"),
            ("dbname", "d e"),
            ("application_name", "a&b"),
        ],
    );
}

#[test]
fn a_plus_is_a_space_in_options_alone() {
    let text = "postgres://h/a+b?options=-c+search_path%3Dx&application_name=c+d";
    assert_eq!(parts(text)["options"], "-c search_path=x");
    assert_eq!(parts(text)["application_name"], "c+d");
    assert_eq!(parts(text)["dbname"], "a+b");
}

#[test]
fn schemes_are_those_of_postgres_and_its_drivers() {
    for scheme in [
        "postgres",
        "postgresql",
        "POSTGRES",
        "postgresql+asyncpg",
        "postgresql+psycopg2",
        "jdbc:postgresql",
    ] {
        assert_parts(&format!("{scheme}://h/d"), &[("host", "h"), ("dbname", "d")]);
    }
    assert!(fault("postgre://h/d").contains("postgre://, not postgres://"));
    assert!(
        fault("prisma+postgres://accelerate.prisma-data.net/?api_key=x").contains("DIRECT_URL")
    );
    assert!(fault("h:5432/d").contains("postgres://"));
    assert!(fault("").contains("postgres://"));
}

#[test]
fn other_databases_are_recognised() {
    assert_eq!(foreign("mysql://u:p@h/d"), Some("mysql"));
    assert_eq!(foreign("mysql+pymysql://u:p@h/d"), Some("mysql"));
    assert_eq!(foreign("file:./dev.db"), Some("file"));
    assert_eq!(foreign("postgres://u:p@h/d"), None);
    assert_eq!(foreign("host=file:x"), None);
}

#[test]
fn blanks_around_it_do_not_count_and_quotes_are_named() {
    assert_parts(" postgres://h\n", &[("host", "h")]);
    assert!(fault("\"postgres://h/d\"").contains("quote"));
    assert!(fault("'postgres://h/d'").contains("quote"));
}

#[test]
fn a_raw_at_or_hash_in_a_password_is_taken_and_said_aloud() {
    for (text, password, spelling) in [
        ("postgres://u:p@ss@h/d", "p@ss", "'@' is %40"),
        ("postgres://u:p#ss@h/d", "p#ss", "'#' is %23"),
        ("postgres://u:p#s@s@h/d", "p#s@s", "'#' is %23"),
    ] {
        let parsed = parse(text).unwrap();
        assert_eq!(parts(text)["password"], password);
        assert_eq!(parts(text)["host"], "h");
        assert!(parsed.doubts[0].contains(spelling), "{:?}", parsed.doubts);
    }
    assert_eq!(parse("postgres://u:p:w,!$&'()*+;=~[]@h/d").unwrap().doubts, [""; 0]);
}

#[test]
fn a_raw_slash_or_question_mark_in_a_password_is_refused_with_its_spelling() {
    for (text, spelling) in [
        ("postgres://u:p/ss@h/d", "'/' is %2F"),
        ("postgres://u:p?ss@h/d", "'?' is %3F"),
        ("postgres://u:p#/ss@h/d", "'/' is %2F, '#' is %23"),
        ("postgres://u:12/34@h/d", "'/' is %2F"),
        ("postgres://u:p@s/s@h/d", "'@' is %40, '/' is %2F"),
        ("postgres://u:p@s?s@h/d", "'@' is %40, '?' is %3F"),
    ] {
        assert!(fault(text).contains(spelling), "{text}: {}", fault(text));
    }
}

#[test]
fn an_at_in_a_parameters_value_is_just_that() {
    assert_eq!(parts("postgres://h/d?application_name=a@b")["application_name"], "a@b");
}

#[test]
fn a_fragment_is_refused() {
    for text in ["postgres://h/d#x", "postgres://h#x/d", "postgres://h/d?sslmode=require#x"] {
        assert!(fault(text).contains("%23"), "{text}");
    }
}

#[test]
fn a_percent_without_digits_is_itself_and_said_aloud() {
    let parsed = parse("postgres://u:100%!@h/d").unwrap();
    assert_eq!(parts("postgres://u:100%!@h/d")["password"], "100%!");
    assert!(parsed.doubts[0].contains("%25"), "{:?}", parsed.doubts);
    assert!(parsed.doubts[0].contains("password"));
}

#[test]
fn what_no_server_can_take_is_refused() {
    assert!(fault("postgres://u:a%00b@h/d").contains("%00"));
    assert!(fault("postgres://u:a%FFb@h/d").contains("UTF-8"));
}

#[test]
fn a_variable_that_nobody_replaced_is_said_aloud() {
    for text in ["postgres://u:${DB_PASSWORD}@h/d", "postgres://u:$(DB_PASSWORD)@h/d"] {
        assert!(
            parse(text).unwrap().doubts.iter().any(|doubt| doubt.contains("replaced")),
            "{text}"
        );
    }
}

#[test]
fn keyword_values_are_libpqs() {
    assert_parts(
        "host=h user = u  password='a b\\'c\\\\' dbname=d",
        &[("host", "h"), ("user", "u"), ("password", "a b'c\\"), ("dbname", "d")],
    );
    assert_parts("host= user=u", &[("host", "user=u")]);
    assert_parts("host='' user=u", &[("host", ""), ("user", "u")]);
    assert_parts(
        "user=u password=a@b://c#d/e?f=g",
        &[("user", "u"), ("password", "a@b://c#d/e?f=g")],
    );
    assert!(fault("host=h password='abc").contains("not closed"));
    assert!(fault("host=h user").contains("without '='"));
    assert!(fault("host= h = u").contains("without a keyword"));
    assert!(fault("host=h 'x'=u").contains("without a keyword"));
    assert!(fault("host=h stray user=u").contains("without '='"));
}

#[test]
fn redacting_keeps_what_helps() {
    for (text, shown) in [
        ("postgres://u:p@h:5432/d?sslmode=on", "postgres://u:***@h:5432/d?sslmode=on"),
        ("postgres://u@h/d", "postgres://u@h/d"),
        ("postgres://h:5432,i:5433/d", "postgres://h:5432,i:5433/d"),
        ("postgres://u:p@ss/w?o@h/d", "postgres://u:***@h/d"),
        ("postgres://u:secret", "postgres://u:***"),
        ("postgres://u:secret/d", "postgres://u:***"),
        ("postgres://h/d?user=u&password=p&port=1", "postgres://h/d?user=u&password=***&port=1"),
        ("postgres://h/d?p%61ssword=p", "postgres://h/d?p%61ssword=***"),
        ("postgres://h/d?sslpassword=p", "postgres://h/d?sslpassword=***"),
        ("host=h password='a b' user=u", "host=h ***"),
        ("postgres://h/d?password=a@b", "postgres://***"),
        ("u:p@h/d", "***@h/d"),
        ("tcp://db:5432", "tcp://db:5432"),
        ("http://u:p@h/", "http://u:***@h/"),
        ("5s", "5s"),
    ] {
        assert_eq!(redact(text), shown, "{text}");
    }
}

#[test]
fn no_fault_and_no_doubt_shows_the_password() {
    const CHARACTERS: [&str; 14] =
        ["", "@", ":", "/", "?", "#", "%", "[", "]", "&", "=", ",", "'", "%FF"];
    let silent = |text: &str| {
        let said = match parse(text) {
            Ok(parts) => parts.doubts.join(" "),
            Err(fault) => fault,
        };
        assert!(!said.contains("hunter2"), "{text}: {said}");
        assert!(!redact(text).contains("hunter2"), "{text}: {}", redact(text));
    };
    for after in CHARACTERS {
        for before in CHARACTERS {
            silent(&format!("postgres://u:{before}hunter2{after}@h/d"));
            silent(&format!("host=h password={before}hunter2{after} user=u"));
        }
        // The host is missing.
        silent(&format!("postgres://u:hunter2{after}/d"));
        silent(&format!("postgres://u:hunter2{after}"));
        // The '?' is missing.
        silent(&format!("postgres://h/d&password=hunter2{after}"));
        // The '&' is missing, or the '='.
        silent(&format!("postgres://h/d?sslmode=require password=hunter2{after}"));
        silent(&format!("postgres://h/d?password hunter2{after}"));
    }
}

#[test]
fn a_password_behind_a_wrong_sign_is_no_part_of_another_parameter() {
    for text in [
        "postgres://h/d?user=u?password=hunter2&x=y",
        "postgres://h/d?user=u password=hunter2",
        "postgres://h/d?options=-c x=y?password=hunter2",
    ] {
        let fault = parse(text).unwrap_err();
        assert!(fault.contains("joined by '&'") && !fault.contains("hunter2"), "{text}: {fault}");
    }
    let fine = "postgres://h/d?options=-c password_encryption=scram-sha-256&user=u&password=a=b";
    assert!(parse(fine).is_ok());
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in ".*") {
        let _ = parse(&text);
        let _ = redact(&text);
        let _ = foreign(&text);
        let _ = parse(&format!("postgres://{text}"));
        let _ = redact(&format!("postgres://{text}"));
    }

    #[test]
    fn no_text_of_url_characters_makes_the_parser_panic(text in "[a-z0-9:/@?#&=,%\\[\\]' ]{0,40}") {
        let _ = parse(&format!("postgres://{text}"));
        let _ = parse(&format!("host={text}"));
        let _ = redact(&text);
    }

    #[test]
    fn what_is_percent_encoded_comes_back(
        user in "[^\0]+", password in "[^\0]+", name in "[^\0]+",
    ) {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let text =
            format!("postgres://{}:{}@h:1/{}", encode(&user), encode(&password), encode(&name));
        assert_parts(&text, &[
            ("user", &user),
            ("password", &password),
            ("host", "h"),
            ("port", "1"),
            ("dbname", &name),
        ]);
    }

    #[test]
    fn keyword_values_come_back(password in "[^\0]*", name in "[^\0]+") {
        let quote = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
        let text = format!("host=h password='{}' dbname='{}'", quote(&password), quote(&name));
        assert_parts(&text, &[("host", "h"), ("password", &password), ("dbname", &name)]);
    }

    #[test]
    fn redacting_leaves_nothing_of_a_password(before in ".{0,8}", after in ".{0,8}") {
        // No '&': what follows it is no password to any reader.
        let password = format!("{before}hunter2{after}").replace('&', "");
        for text in [
            format!("postgres://u:{password}@h/d"),
            format!("postgres://u:{password}@h/d?application_name=a@b"),
            format!("postgres://h/d?password={password}"),
            format!("host=h password='{password}' user=u"),
        ] {
            prop_assert!(!redact(&text).contains("hunter2"), "{}", redact(&text));
        }
    }
}
