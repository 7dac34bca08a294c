//! [Drizzle](https://orm.drizzle.team) from 1.0 on: `20240101120000_init/migration.sql`.

mod files;
mod history;

use super::drizzle::CUSTOM;
use super::migration_sql;
use super::tool::{KnownBy, Layout, Tool};
use crate::migrate::drift::{OutOfOrder, Policy, Rules};

pub(super) static TOOL: Tool = Tool {
    name: "drizzle1",
    title: "Drizzle",
    own_table: ("__drizzle_migrations", ""),
    origin: "Drizzle from 1.0 on",
    migration: "`20240101120000_init/migration.sql` with `snapshot.json`",
    table: "the same, with names",
    known_by: KnownBy::Layout,
    // Drizzle compares nothing but names.
    rules: Rules {
        edited: Policy::Warn,
        missing: Policy::Warn,
        out_of_order: OutOfOrder::Apply,
        ahead: Policy::Warn,
    },
    exception: "",
    layout: Layout::Directories,
    why_not_read: "a migration is in a directory of its own, as in \
                   20240101120000_init/migration.sql; move it",
    claims: migration_sql::is_drizzles,
    claims_file: |_| Ok(false),
    read: files::read,
    lint: |_, _| Vec::new(),
    template: |_| CUSTOM.to_owned(),
    scaffold: files::scaffold,
    history_table: |name| Box::new(history::DrizzleMigrations::new(name)),
};
