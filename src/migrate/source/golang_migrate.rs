//! A folder of golang-migrate's: `1_create_users.up.sql` and `1_create_users.down.sql`.

use std::path::Path;

use super::{Key, Migration, Order, Script, SourceError, pair, read_sql, sql_files, warn_of_name};

/// Every migration of `folder`, in no particular order.
pub(super) fn read(folder: &Path) -> Result<Vec<Migration>, SourceError> {
    let (mut migrations, mut downs) = (Vec::new(), Vec::new());
    for (name, file) in sql_files(folder, 1)? {
        let Some((version, title, way)) = parts(&name) else {
            warn_of_name(&file, "1_create_users.up.sql");
            continue;
        };
        let key = Key::Number(version.parse().map_err(|_| SourceError::Malformed {
            path: file.clone(),
            why: "its number is too large; use 18 digits at most".to_owned(),
        })?);
        let script = Script::whole(file.clone(), read_sql(&file)?);
        match way {
            Way::Down => downs.push((key, title.to_owned(), script)),
            Way::Up => migrations.push(Migration {
                key,
                name: title.to_owned(),
                order: Order::Strict,
                up: script,
                down: None,
            }),
        }
    }
    // A version that has a way down alone is one all the same: nothing runs on the way up.
    for (key, title, script) in &downs {
        if migrations.iter().all(|migration| migration.key != *key) {
            migrations.push(Migration {
                key: key.clone(),
                name: title.clone(),
                order: Order::Strict,
                up: Script::whole(script.file.clone(), String::new()),
                down: None,
            });
        }
    }
    pair::join(migrations, downs.into_iter().map(|(key, _, script)| (key, script)).collect())
}

#[derive(Debug, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// `1`, `create_users` and the way of `1_create_users.up.sql`.
fn parts(file_name: &str) -> Option<(&str, &str, Way)> {
    let (version, rest) = file_name.strip_suffix(".sql")?.split_once('_')?;
    let (title, way) = match rest.strip_suffix(".up") {
        Some(title) => (title, Way::Up),
        None => (rest.strip_suffix(".down")?, Way::Down),
    };
    let digits = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some((version, title, way))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_as_golang_migrate_reads_them() {
        assert_eq!(parts("001_a_b.up.sql"), Some(("001", "a_b", Way::Up)));
        assert_eq!(parts("1_.down.sql"), Some(("1", "", Way::Down)));
        for name in ["1_a.sql", "1-a.up.sql", "a_1.up.sql", "_a.up.sql", "1_a.up"] {
            assert_eq!(parts(name), None, "{name}");
        }
    }

    #[test]
    fn a_version_with_a_way_down_alone_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["2_b.down.sql", "1_a.up.sql", "1_a.down.sql"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let found = read(folder.path()).unwrap();
        let texts = found.iter().map(|one| {
            (one.up.sql.here().unwrap(), one.down.as_ref().unwrap().sql.here().unwrap())
        });
        assert_eq!(
            texts.collect::<Vec<_>>(),
            [("1_a.up.sql", "1_a.down.sql"), ("", "2_b.down.sql")]
        );
    }
}
