//! [goose](https://github.com/pressly/goose): `00001_create_users.sql` with `-- +goose Up`.

mod files;
mod history;

use super::tool::{KnownBy, Layout, Tool};
use crate::migrate::drift::{OutOfOrder, Policy, Rules};

pub(super) static TOOL: Tool = Tool {
    name: "goose",
    title: "goose",
    own_table: ("goose_db_version", ""),
    origin: "[goose](https://github.com/pressly/goose), its SQL files",
    migration: "`00001_create_users.sql` with `-- +goose Up`",
    table: "`goose_db_version`",
    known_by: KnownBy::Markers(&["+goose"]),
    // goose rejects a file that is older than the newest applied one, and ignores rows without a file.
    rules: Rules {
        edited: Policy::Warn,
        missing: Policy::Warn,
        out_of_order: OutOfOrder::Fail,
        ahead: Policy::Warn,
    },
    exception: "",
    layout: Layout::Files,
    why_not_read: "its name is not like 00001_create_users.sql; rename it",
    claims: |_| Ok(false),
    claims_file: files::claims_file,
    read: files::read,
    lint: |_, _| Vec::new(),
    template: |_| files::TEMPLATE.to_owned(),
    scaffold: |existing| Ok(files::scaffold(existing)),
    history_table: |name| Box::new(history::GooseDbVersion::new(name)),
};
