//! [golang-migrate](https://github.com/golang-migrate/migrate): `1_create_users.up.sql` and `.down.sql`.

mod files;
mod history;

use super::tool::{KnownBy, Layout, Tool};
use crate::migrate::drift::{OutOfOrder, Policy, Rules};

pub(super) static TOOL: Tool = Tool {
    name: "golang-migrate",
    title: "golang-migrate",
    own_table: ("schema_migrations", "schema_migrations.dirty"),
    origin: "[golang-migrate](https://github.com/golang-migrate/migrate)",
    migration: "`1_create_users.up.sql` and `.down.sql`",
    table: "`schema_migrations`",
    known_by: KnownBy::Nothing,
    // Every version up to the recorded one counts as applied, so nothing is ever out of order.
    rules: Rules {
        edited: Policy::Warn,
        missing: Policy::Fail,
        out_of_order: OutOfOrder::Fail,
        ahead: Policy::Warn,
    },
    exception: "a file that is older than what is applied counts as applied",
    layout: Layout::Files,
    why_not_read: "its name is not like 1_create_users.up.sql; rename it",
    claims: |_| Ok(false),
    claims_file: |_| Ok(false),
    read: files::read,
    lint: |_, _| Vec::new(),
    template: |_| String::new(),
    scaffold: |existing| Ok(files::scaffold(existing)),
    history_table: |name| Box::new(history::SchemaMigrations::new(name)),
};
