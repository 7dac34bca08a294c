//! [Drizzle](https://orm.drizzle.team) before 1.0: `0000_init.sql`, in the order of `meta/_journal.json`.

mod files;
mod history;
pub(super) mod journal;
pub(super) mod snapshot;

pub(super) use files::{BREAKPOINT, CUSTOM, no_journal, wrote};

use super::directory::is_file;
use super::tool::{KnownBy, Layout, Tool};
use crate::migrate::drift::{OutOfOrder, Policy, Rules};
use journal::Journal;

pub(super) static TOOL: Tool = Tool {
    name: "drizzle",
    title: "Drizzle",
    own_table: ("__drizzle_migrations", ""),
    origin: "[Drizzle](https://orm.drizzle.team) before 1.0",
    migration: "`0000_init.sql`, in the order of `meta/_journal.json`",
    table: "`drizzle.__drizzle_migrations`",
    known_by: KnownBy::Layout,
    // Drizzle compares nothing but the newest time: it ignores edited, missing and older migrations.
    rules: Rules {
        edited: Policy::Warn,
        missing: Policy::Warn,
        out_of_order: OutOfOrder::Skip,
        ahead: Policy::Warn,
    },
    exception: "",
    layout: Layout::Journal,
    why_not_read: "meta/_journal.json does not name it, so neither Drizzle nor premain applies it; \
                   add the entry that drizzle-kit made with it, or remove the file",
    claims: |directory| is_file(&Journal::path(directory)),
    claims_file: |_| Ok(false),
    read: files::read,
    lint: files::lint,
    template: |_| CUSTOM.to_owned(),
    scaffold: files::scaffold,
    history_table: |name| Box::new(history::DrizzleMigrations::new(name)),
};
