//! A folder of Prisma's: a folder for each migration, with `migration.sql` in it, and `down.sql` where
//! the team keeps one, which Prisma has no use for.

use std::path::Path;

use super::{Key, Migration, Order, Script, SourceError, is_file, read_note, read_sql, subfolders};
use crate::migrate::Name;

/// What names the folder's database.
pub(super) const LOCK_FILE: &str = "migration_lock.toml";

/// Every migration of `folder`.
pub(super) fn read(folder: &Path) -> Result<Vec<Migration>, SourceError> {
    check_provider(&folder.join(LOCK_FILE))?;
    let mut migrations = Vec::new();
    for (name, path) in subfolders(folder)? {
        let file = path.join("migration.sql");
        if !is_file(&file)? {
            let why = "it holds no migration.sql, which Prisma refuses as P3015; restore the file, or remove the folder";
            return Err(SourceError::Malformed { path, why: why.to_owned() });
        }
        let down = path.join("down.sql");
        let down = match is_file(&down)? {
            true => Some(Script::whole(down.clone(), read_sql(&down)?)),
            false => None,
        };
        migrations.push(Migration {
            key: Key::Name(Name(name.clone())),
            name,
            order: Order::Strict,
            up: Script::whole(file.clone(), read_sql(&file)?),
            down,
        });
    }
    Ok(migrations)
}

/// `provider = "postgresql"`, the only line of the file that counts. Prisma does without the file.
fn check_provider(path: &Path) -> Result<(), SourceError> {
    if !is_file(path)? {
        return Ok(());
    }
    match provider(&read_note(path)?) {
        Some("postgresql" | "postgres") => Ok(()),
        Some(other) => Err(SourceError::Malformed {
            path: path.to_owned(),
            why: format!("these migrations are for {other}, not for postgresql"),
        }),
        None => Err(SourceError::Malformed {
            path: path.to_owned(),
            why: "it has no line provider = \"postgresql\"; restore it as Prisma wrote it"
                .to_owned(),
        }),
    }
}

fn provider(text: &str) -> Option<&str> {
    text.lines().find_map(|line| {
        let value = line.trim_start().strip_prefix("provider")?.trim_start().strip_prefix('=')?;
        value.trim_start().strip_prefix('"')?.split('"').next()
    })
}

#[cfg(test)]
mod tests {
    use super::provider;

    #[test]
    fn the_provider_is_found_between_comments() {
        assert_eq!(
            provider("# Please do not edit\nprovider = \"postgresql\"\n"),
            Some("postgresql")
        );
        assert_eq!(provider("provider=\"mysql\" # no"), Some("mysql"));
        assert_eq!(provider("# provider = \"mysql\"\n"), None);
        assert_eq!(provider("<<<<<<< HEAD"), None);
    }
}
