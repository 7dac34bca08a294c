//! [Prisma](https://www.prisma.io): `20240101120000_init/migration.sql`.

mod files;
mod history;

use super::migration_sql;
use super::tool::{KnownBy, Layout, Tool};
use crate::migrate::drift::{OutOfOrder, Policy, Rules};

pub(super) static TOOL: Tool = Tool {
    name: "prisma",
    title: "Prisma",
    own_table: ("_prisma_migrations", ""),
    origin: "[Prisma](https://www.prisma.io)",
    migration: "`20240101120000_init/migration.sql`",
    table: "`_prisma_migrations`, in the URL's `?schema=`",
    known_by: KnownBy::Layout,
    // `prisma migrate deploy` compares nothing but names.
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
    claims: migration_sql::is_prismas,
    claims_file: |_| Ok(false),
    read: files::read,
    lint: files::lint,
    template: |_| files::EMPTY.to_owned(),
    scaffold: |existing| Ok(files::scaffold(existing)),
    history_table: |name| Box::new(history::PrismaMigrations::new(name)),
};
