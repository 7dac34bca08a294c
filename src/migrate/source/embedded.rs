//! The migrations that were embedded at build time by `refinery::embed_migrations!`; see build.rs.

use std::path::PathBuf;

use refinery::Migration as Embedded;

use super::{Migration, Order, Source};
use crate::config::Format;

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    reason = "made by refinery's macro"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

/// What this binary carries; `None` where it was built without.
pub(super) fn load() -> Option<Source> {
    let mut migrations: Vec<Migration> = generated::embedded().iter().filter_map(convert).collect();
    migrations.sort_by_key(|migration| migration.version);
    (!migrations.is_empty()).then_some(Source {
        folder: None,
        format: Format::Refinery,
        migrations,
    })
}

fn convert(embedded: &Embedded) -> Option<Migration> {
    let prefix = embedded.prefix().to_string();
    let (version, name) = (i64::from(embedded.version()), embedded.name().to_owned());
    Some(Migration {
        version,
        order: if prefix == "U" { Order::Free } else { Order::Strict },
        file: PathBuf::from(format!("{prefix}{version}__{name}.sql")),
        name,
        sql: embedded.sql()?.to_owned(),
    })
}
