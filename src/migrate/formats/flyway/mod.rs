//! [Flyway](https://github.com/flyway/flyway): `V1_2__create_users.sql`, `R__views.sql`, at any depth.

mod files;
mod history;

use super::scaffold;
use super::tool::{KnownBy, Layout, Tool};
use crate::migrate::drift::{OutOfOrder, Policy, Rules};

pub(super) static TOOL: Tool = Tool {
    name: "flyway",
    title: "Flyway",
    own_table: ("flyway_schema_history", ""),
    origin: "[Flyway](https://github.com/flyway/flyway)",
    migration: "`V1_2__create_users.sql`, `R__views.sql`, at any depth",
    table: "`flyway_schema_history`",
    known_by: KnownBy::FileNames,
    // As `flyway migrate` validates before it begins.
    rules: Rules {
        edited: Policy::Fail,
        missing: Policy::Fail,
        out_of_order: OutOfOrder::Fail,
        ahead: Policy::Warn,
    },
    exception: "an edited `R__views.sql` is applied again",
    layout: Layout::FilesAtAnyDepth,
    why_not_read: "its name is not like V1_2__create_users.sql or R__views.sql; rename it",
    claims: files::claims,
    claims_file: |_| Ok(false),
    read: files::read,
    lint: |_, _| Vec::new(),
    template: scaffold::comment,
    scaffold: |existing| Ok(files::scaffold(existing)),
    history_table: |name| Box::new(history::FlywaySchemaHistory::new(name)),
};
