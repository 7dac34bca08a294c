//! [sqlx](https://github.com/launchbadge/sqlx): `1_create_users.sql`, or `.up.sql` and `.down.sql`.

mod files;
mod history;

use super::tool::{KnownBy, Layout, Tool};
use crate::migrate::drift::{OutOfOrder, Policy, Rules};

pub(super) static TOOL: Tool = Tool {
    name: "sqlx",
    title: "sqlx",
    own_table: ("_sqlx_migrations", ""),
    origin: "[sqlx](https://github.com/launchbadge/sqlx)",
    migration: "`1_create_users.sql`, or `.up.sql` and `.down.sql`",
    table: "`_sqlx_migrations`",
    known_by: KnownBy::Nothing,
    rules: Rules {
        edited: Policy::Fail,
        missing: Policy::Fail,
        out_of_order: OutOfOrder::Apply,
        ahead: Policy::Warn,
    },
    exception: "",
    layout: Layout::Files,
    why_not_read: "its name is not like 1_create_users.sql; rename it",
    claims: |_| Ok(false),
    claims_file: |_| Ok(false),
    read: files::read,
    lint: |_, _| Vec::new(),
    template: files::template,
    scaffold: |existing| Ok(files::scaffold(existing)),
    history_table: |name| Box::new(history::SqlxMigrations::new(name)),
};
