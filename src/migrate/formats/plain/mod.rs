//! Plain SQL, which no other tool is known for: `001_create_users.sql`, with premain's own history table.

mod files;
mod history;

pub(super) use files::is_migration;

use super::scaffold;
use super::tool::{KnownBy, Layout, Tool};
use crate::migrate::drift::{OutOfOrder, Policy, Rules};

pub(super) static TOOL: Tool = Tool {
    name: "sql",
    title: "premain",
    own_table: ("premain_migrations", ""),
    origin: "none: plain SQL",
    migration: "`001_create_users.sql`, `0002-orders.sql`, `20240101120000_items.up.sql`",
    table: "`premain_migrations`",
    known_by: KnownBy::Numbers,
    rules: Rules {
        edited: Policy::Fail,
        missing: Policy::Fail,
        out_of_order: OutOfOrder::Apply,
        ahead: Policy::Warn,
    },
    exception: "",
    layout: Layout::Files,
    why_not_read: "its name is not like 001_create_users.sql; rename it, or name its tool with \
                   --format",
    claims: |_| Ok(false),
    claims_file: |_| Ok(false),
    read: files::read,
    lint: |_, _| Vec::new(),
    template: scaffold::comment,
    scaffold: |existing| Ok(files::scaffold(existing)),
    history_table: |name| Box::new(history::PremainMigrations::new(name)),
};
