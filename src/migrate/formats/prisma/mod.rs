//! [Prisma](https://www.prisma.io): `20240101120000_init/migration.sql`.

mod files;
mod history;

use super::migration_sql;
use super::tool::{KnownBy, Tool};
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
    claims: migration_sql::is_prismas,
    claims_file: |_| Ok(false),
    read: files::read,
    lint: files::lint,
    scaffold: |existing| Ok(files::scaffold(existing)),
    history_table: |name| Box::new(history::PrismaMigrations::new(name)),
};
