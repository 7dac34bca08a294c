//! [dbmate](https://github.com/amacneil/dbmate): `20240101120000_create_users.sql` with `-- migrate:up`.

mod files;
mod history;

use super::tool::{KnownBy, Layout, Tool};
use crate::migrate::drift::{OutOfOrder, Policy, Rules};

pub(super) static TOOL: Tool = Tool {
    name: "dbmate",
    title: "dbmate",
    own_table: ("schema_migrations", ""),
    origin: "[dbmate](https://github.com/amacneil/dbmate)",
    migration: "`20240101120000_create_users.sql` with `-- migrate:up`",
    table: "`schema_migrations`",
    known_by: KnownBy::Markers(&["migrate:up", "migrate:down"]),
    // dbmate applies every file whose version is not recorded, and checks nothing else.
    rules: Rules {
        edited: Policy::Warn,
        missing: Policy::Warn,
        out_of_order: OutOfOrder::Apply,
        ahead: Policy::Warn,
    },
    exception: "",
    layout: Layout::Files,
    why_not_read: "its name is not like 20240101120000_create_users.sql; rename it",
    claims: |_| Ok(false),
    claims_file: files::claims_file,
    read: files::read,
    lint: |_, _| Vec::new(),
    template: |_| files::TEMPLATE.to_owned(),
    scaffold: |existing| Ok(files::scaffold(existing)),
    history_table: |name| Box::new(history::SchemaMigrations::new(name)),
};
