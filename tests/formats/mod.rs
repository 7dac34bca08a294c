//! The migration tools: each shares one database and one directory of migrations with premain.

mod alembic_to_prisma;
mod dbmate;
mod drizzle;
mod drizzle1;
mod flyway;
mod golang_migrate;
mod goose;
mod plain_sql;
mod prisma;
mod record_and_read;
mod refinery;
mod sqlx;
mod unusual_scripts;
