//! The migrations that were embedded at build time; see build.rs.

use std::path::PathBuf;

use super::{Key, Migration, Order, Script, Source};
use crate::migrate::settings::Format;

/// Order, version, name and SQL of each, oldest first.
const EMBEDDED: &[(Order, i64, &str, &str)] = &include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// What this binary carries; `None` where it was built without.
pub(super) fn load() -> Option<Source> {
    let migrations: Vec<Migration> = EMBEDDED
        .iter()
        .map(|&(order, version, name, sql)| Migration {
            key: Key::Number(version),
            name: name.to_owned(),
            order,
            up: Script::whole(PathBuf::from(file_name(order, version, name)), sql.to_owned()),
            down: None,
        })
        .collect();
    let source = Source { folder: None, format: Format::Refinery, migrations };
    (!source.migrations.is_empty()).then_some(source)
}

fn file_name(order: Order, version: i64, name: &str) -> String {
    match order {
        Order::Strict => format!("V{version}__{name}.sql"),
        Order::Free => format!("U{version}__{name}.sql"),
    }
}
