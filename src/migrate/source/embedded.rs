//! The migrations that were embedded when the binary was built; see build.rs.

use std::path::PathBuf;

use crate::migrate::migration::{Migration, Order, title_of_file};
use crate::migrate::sql::Script;
use crate::migrate::version::Version;

/// Order, version, name and SQL of each migration, oldest first.
const EMBEDDED: &[(Order, i64, &str, &str)] = &include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The embedded migrations; empty if there are none.
pub(super) fn migrations() -> Vec<Migration> {
    let migration = |&(order, version, name, sql): &(Order, i64, &str, &str)| {
        let file = file_name(order, version, name);
        Migration {
            version: Version::Number(version),
            name: name.to_owned(),
            title: title_of_file(&file).to_owned(),
            order,
            up: Script::whole(PathBuf::from(file), sql.to_owned()),
            down: None,
        }
    };
    EMBEDDED.iter().map(migration).collect()
}

fn file_name(order: Order, version: i64, name: &str) -> String {
    match order {
        Order::Strict => format!("V{version}__{name}.sql"),
        Order::Free => format!("U{version}__{name}.sql"),
    }
}
