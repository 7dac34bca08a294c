use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use super::*;

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new(pairs(variables))
}

fn pairs(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// A file that holds `content`, and its path.
fn file(content: &[u8]) -> (tempfile::NamedTempFile, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    let path = path(file.path());
    (file, path)
}

fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn value<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment.get(name)
}

/// What is wrong with an environment, a line each.
fn problems(mut environment: Environment) -> Vec<String> {
    let mut problems = Vec::new();
    environment.take_problems(&mut problems);
    problems.iter().map(|problem| format!("{} {}", problem.name, problem.what)).collect()
}

#[test]
fn only_variables_that_premain_reads_have_values() {
    let environment = environment(&[
        ("PREMAIN_GRACE", "3s"),
        ("HOME", "/root"),
        ("PREMAIN_LOG", ""),
        ("PGUSER", "u"),
    ]);
    assert_eq!(value(&environment, "PREMAIN_GRACE"), Some("3s"));
    assert_eq!(value(&environment, "PREMAIN_LOG"), None);
    assert_eq!(value(&environment, "PGUSER"), Some("u"));
    assert_eq!(value(&environment, "HOME"), None);
}

#[test]
fn an_empty_variable_counts_as_unset_and_reaches_the_application() {
    let environment = environment(&[("DATABASE_URL", ""), ("PREMAIN_LOG", "")]);
    assert_eq!(value(&environment, "DATABASE_URL"), None);
    assert_eq!(
        environment.for_application(&[]),
        pairs(&[("DATABASE_URL", ""), ("PREMAIN_LOG", "")])
    );
}

#[test]
fn of_two_variables_of_one_name_the_first_counts() {
    let environment = environment(&[("PGUSER", "first"), ("PGUSER", "second")]);
    assert_eq!(value(&environment, "PGUSER"), Some("first"));
}

#[test]
fn a_file_variable_gives_its_content_without_line_ends() {
    for (content, expected) in [
        ("secret", "secret"),
        ("secret\n", "secret"),
        ("secret\r\n\n", "secret"),
        (" se\ncret \n", " se\ncret "),
    ] {
        let (_file, path) = file(content.as_bytes());
        let environment = environment(&[("PGPASSWORD_FILE", &path)]);
        assert_eq!(value(&environment, "PGPASSWORD"), Some(expected));
        assert_eq!(value(&environment, "PGPASSWORD_FILE"), None);
        assert_eq!(environment.called("PGPASSWORD"), format!("PGPASSWORD_FILE={path}"));
    }
}

#[test]
fn every_variable_that_may_hold_a_secret_may_be_a_file() {
    let (_file, path) = file(b"x");
    for name in secrets() {
        let environment = environment(&[(&format!("{name}_FILE"), &path)]);
        assert_eq!(value(&environment, name), Some("x"), "{name}");
    }
}

#[test]
fn other_file_variables_are_the_applications() {
    let given = [("API_KEY_FILE", "/run/secrets/key"), ("PGHOST_FILE", "/x")];
    assert_eq!(environment(&given).for_application(&[]), pairs(&given));
}

#[test]
fn both_a_variable_and_its_file_is_a_problem() {
    let (_file, path) = file(b"postgres://u@h/d");
    let given = [("DATABASE_URL", "postgres://u@h/d"), ("DATABASE_URL_FILE", &*path)];
    let said = problems(environment(&given));
    assert_eq!(said, ["DATABASE_URL_FILE and DATABASE_URL are both set; keep one"]);
}

#[test]
fn an_empty_variable_beside_its_file_is_none() {
    let (_file, path) = file(b"x");
    let given = [("PGPASSWORD", ""), ("A", "b"), ("PGPASSWORD_FILE", &*path)];
    let environment = environment(&given);
    assert_eq!(value(&environment, "PGPASSWORD"), Some("x"));
    assert_eq!(environment.for_application(&[]), pairs(&[("A", "b"), ("PGPASSWORD", "x")]));
}

#[test]
fn a_file_that_cannot_be_a_secret_is_a_problem_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let directory = path(directory.path());
    let (_empty, empty) = file(b"\n");
    let (_binary, binary) = file(b"\xff");
    let (_null, null) = file(b"a\0b");
    for (path, why) in [
        ("/none/at/all", "which cannot be read: No such file or directory"),
        (&*directory, "which cannot be read: Is a directory"),
        (&*empty, "which is empty"),
        ("/dev/zero", "which is larger than 16 MB"),
        (&*binary, "which is not UTF-8"),
        (&*null, "which holds a null byte"),
    ] {
        let said = problems(environment(&[("PREMAIN_WAIT_FOR_FILE", path)]));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].starts_with(&format!("PREMAIN_WAIT_FOR_FILE is '{path}', {why}")),
            "{said:?}"
        );
    }
}

#[test]
fn only_variables_that_premain_reads_must_be_utf_8() {
    let strange = || OsString::from_vec(b"\xff".to_vec());
    let given =
        vec![("PGUSER".into(), strange()), ("OTHER".into(), strange()), (strange(), "x".into())];
    let environment = Environment::new(given.clone());
    assert_eq!(problems(Environment::new(given.clone())), ["PGUSER is not UTF-8"]);
    assert_eq!(environment.for_application(&[]), given);
}

#[test]
fn the_application_gets_its_environment_in_order() {
    let (_file, path) = file(b"postgres://u:p@h/d\n");
    let given = [
        ("PATH", "/bin"),
        ("DATABASE_URL_FILE", &*path),
        ("MIGRATION_DATABASE_URL", "postgres://owner@h/d"),
        ("DIRECT_URL", "postgres://direct@h/d"),
        ("EMPTY", ""),
        ("PREMAIN_GRACE", "3s"),
        ("TOKEN", "t"),
    ];
    let expected = [
        ("PATH", "/bin"),
        ("DATABASE_URL", "postgres://u:p@h/d"),
        ("DIRECT_URL", "postgres://direct@h/d"),
        ("EMPTY", ""),
        ("PREMAIN_GRACE", "3s"),
    ];
    assert_eq!(environment(&given).for_application(&["TOKEN".to_owned()]), pairs(&expected));
}

#[test]
fn the_application_never_gets_the_migration_url() {
    let (_file, path) = file(b"postgres://owner@h/d");
    let given = [("MIGRATION_DATABASE_URL_FILE", &*path)];
    assert_eq!(environment(&given).for_application(&[]), []);
    assert_eq!(environment(&[("MIGRATION_DATABASE_URL", "x")]).for_application(&[]), []);
}

#[test]
fn a_dropped_variable_is_dropped_by_either_name() {
    let (_file, path) = file(b"x");
    for dropped in ["PGPASSWORD", "PGPASSWORD_FILE"] {
        let environment = environment(&[("PGPASSWORD_FILE", &path), ("A", "b")]);
        assert_eq!(environment.for_application(&[dropped.to_owned()]), pairs(&[("A", "b")]));
    }
}
