//! [refinery](https://github.com/rust-db/refinery): `V1__create_users.sql`, `U7__reseed.sql`, at any depth.

mod file_name;
mod files;
mod history;

use super::scaffold;
use super::tool::{KnownBy, Layout, Tool};
use crate::migrate::drift::{OutOfOrder, Policy, Rules};

pub(super) static TOOL: Tool = Tool {
    name: "refinery",
    title: "refinery",
    own_table: ("refinery_schema_history", ""),
    origin: "[refinery](https://github.com/rust-db/refinery)",
    migration: "`V1__create_users.sql`, `U7__reseed.sql`, at any depth",
    table: "`refinery_schema_history`",
    known_by: KnownBy::FileNames,
    rules: Rules {
        edited: Policy::Fail,
        missing: Policy::Fail,
        out_of_order: OutOfOrder::Fail,
        ahead: Policy::Warn,
    },
    exception: "`U7__reseed.sql` may be older than what is applied",
    layout: Layout::FilesAtAnyDepth,
    why_not_read: "its name is not like V1__create_users.sql; rename it, or name its tool with \
                   --format",
    claims: files::claims,
    claims_file: |_| Ok(false),
    read: files::read,
    lint: |_, _| Vec::new(),
    template: scaffold::comment,
    scaffold: |existing| Ok(files::scaffold(existing)),
    history_table: |name| Box::new(history::RefinerySchemaHistory::new(name)),
};
