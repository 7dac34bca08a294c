//! A folder of sqlx's: `1_create_users.sql`, or `1_create_users.up.sql` and `1_create_users.down.sql`.

use std::path::Path;

use super::{Key, Migration, Order, Script, SourceError, pair, read_sql, sql_files, warn_of_name};

/// What a file begins with that runs without a transaction.
const NO_TRANSACTION: &str = "-- no-transaction";

/// Every migration of `folder`, in no particular order.
pub(super) fn read(folder: &Path) -> Result<Vec<Migration>, SourceError> {
    let (mut migrations, mut downs) = (Vec::new(), Vec::new());
    for (name, file) in sql_files(folder, 1)? {
        let Some((version, title)) = name.split_once('_') else {
            warn_of_name(&file, "1_create_users.sql");
            continue;
        };
        let key = Key::Number(version.parse().map_err(|_| SourceError::Malformed {
            path: file.clone(),
            why: format!("'{version}' is no version; sqlx begins names like 1_create_users.sql"),
        })?);
        let sql = read_sql(&file)?;
        let transactional = !sql.beginning().starts_with(NO_TRANSACTION);
        let script = Script { transactional, ..Script::whole(file, sql) };
        if title.ends_with(".down.sql") {
            downs.push((key, script));
            continue;
        }
        let suffix = if title.ends_with(".up.sql") { ".up.sql" } else { ".sql" };
        migrations.push(Migration {
            key,
            name: title.trim_end_matches(suffix).replace('_', " "),
            order: Order::Strict,
            up: script,
            down: None,
        });
    }
    pair::join(migrations, downs)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_and_markers_as_sqlx_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, sql: &str| fs::write(folder.path().join(name), sql).unwrap();
        write("20240101120000_create_users.sql", "-- no-transaction\nVACUUM");
        write("0003_a_b.up.sql", " -- no-transaction");
        write("3_other.down.sql", "-- no-transaction");
        write("readme.sql", "");
        let found = read(folder.path()).unwrap();
        let facts = found.iter().map(|migration| {
            let down = migration.down.as_ref().map(|down| down.transactional);
            (migration.to_string(), migration.up.transactional, down)
        });
        assert_eq!(
            facts.collect::<Vec<_>>(),
            [
                ("3 a b".to_owned(), true, Some(false)),
                ("20240101120000 create users".to_owned(), false, None)
            ]
        );
        write("x_y.sql", "");
        assert!(read(folder.path()).unwrap_err().to_string().contains("'x' is no version"));
    }
}
