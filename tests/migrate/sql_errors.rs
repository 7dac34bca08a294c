//! An SQL error in a migration is shown as a compiler shows errors.

use std::fs;

use crate::support::directory;
use crate::support::postgres::{Database, Server};
use crate::support::premain::{Ended, migrate};

fn run(database: &Database<'_>, files: &[(&str, &str)]) -> Ended {
    let place = directory(files);
    migrate(place.path()).database(database.url()).run()
}

#[test]
fn an_error_without_a_position_is_shown_at_its_statement() {
    let database = Server::shared().database();
    let sql = "CREATE TABLE t (\n  a int CONSTRAINT small CHECK (a < 10),\n  b int NOT NULL);\n\n-- größe; ü\nINSERT INTO t VALUES (1, 1);\n  INSERT INTO t (a, b)\n  VALUES (100, 1);\nSELECT 1;";
    run(&database, &[("V1__t.sql", sql)])
        .code(76)
        .says("V1__t.sql:7:3: new row for relation \"t\" violates check constraint \"small\" (23514 check_violation)")
        .says("7 |   INSERT INTO t (a, b)")
        .says("  ^^^^^^^^^^^^^^^^^^^^")
        .says("constraint: small")
        .says("table: public.t")
        .says("detail: Failing row contains (100, 1)");
    run(&database, &[("V1__t.sql", &sql.replace("100, 1", "2, NULL"))])
        .code(76)
        .says("V1__t.sql:7:3: null value in column \"b\"")
        .says("column: public.t.b");
}

#[test]
fn a_name_without_a_position_is_found_in_its_statement() {
    let database = Server::shared().database();
    let table = "CREATE TABLE t (a int);\n";
    for (sql, place) in [
        ("CREATE INDEX i ON t\n (a, Nme) -- nme", ":3:6: column \"nme\" does not exist"),
        ("ALTER TABLE t ADD UNIQUE (\"Ä b\")", ":2:27: column \"Ä b\" named in key"),
        ("CREATE INDEX nme ON t (nme)", ":2:1: column \"nme\""),
    ] {
        let place = format!("V1__t.sql{place}");
        run(&database, &[("V1__t.sql", &format!("{table}{sql}"))]).code(76).says(&place);
    }
}

#[test]
fn an_error_inside_a_function_is_shown_with_its_statement() {
    let database = Server::shared().database();
    let sql = "SELECT 1;\nDO $$\nBEGIN\n  PERFORM nme FROM pg_class;\nEND $$;";
    run(&database, &[("V1__do.sql", sql)])
        .code(76)
        .says("V1__do.sql:2:1: column \"nme\" does not exist (42703 undefined_column)")
        .says("2 | DO $$")
        .says("the function's own SQL")
        .says("SELECT nme FROM pg_class")
        .says("PL/pgSQL function inline_code_block line 3");
}

#[test]
fn errors_found_at_commit_are_explained() {
    let database = Server::shared().database();
    let sql = "CREATE TABLE t (a int UNIQUE DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO t VALUES (1), (1);";
    run(&database, &[("V1__t.sql", sql)])
        .code(76)
        .says("V1__t.sql: duplicate key value violates unique constraint")
        .says("constraint: t_a_key");
    assert!(!database.has_table("t"));
}

#[test]
fn lines_and_columns_are_counted_as_editors_do() {
    let database = Server::shared().database();
    let bom = "\u{feff}SELEC 1;";
    run(&database, &[("V1__bom.sql", bom)]).code(76).says("V1__bom.sql:1:1: syntax error");
    let alone = "\u{feff}-- premain: no-transaction\r\nSELECT 'ä🦀';\r\n\tSELECT 'ü', nme;\r\n";
    // It stops halfway, and what it has kept would stop the next one.
    run(&Server::shared().database(), &[("V1__alone.sql", alone)])
        .code(65)
        .says("V1__alone.sql:3:14: column \"nme\"")
        .says("^^^");
    let end = "SELECT 1;\nCREATE TABLE t (\n  a int\n";
    run(&database, &[("V1__end.sql", end)]).code(76).says("V1__end.sql:3:7: syntax error");
    let long = format!("SELECT {}nme{};", "'ä', ".repeat(20_000), ", 1".repeat(30_000));
    let ended = run(&database, &[("V1__long.sql", &long)]).code(76).says("V1__long.sql:1:100008: ");
    assert!(ended.log.lines().all(|line| line.chars().count() < 250), "{}", ended.log);
    let ended = ended.says("'ä', nme, 1");
    drop(ended);
}

#[test]
fn psql_commands_are_rejected_before_anything_runs() {
    let database = Server::shared().database();
    for (sql, text) in [
        ("SELECT 1;\n  \\connect other\n", "V2__x.sql:2:3: \\connect is a command of psql's"),
        ("-- ä\r\nCOPY t (a) FROM stdin;\r\n1\r\n\\.\r\n", "V2__x.sql:2:1: COPY from stdin"),
    ] {
        run(&database, &[("V1__t.sql", "CREATE TABLE t (a int)"), ("V2__x.sql", sql)])
            .code(65)
            .says(text);
        assert!(!database.has_table("t"));
    }
}

#[test]
fn statements_that_need_no_transaction_are_explained() {
    let database = Server::shared().database();
    let files = [
        (
            "V1__p.sql",
            "CREATE TABLE t (a int) PARTITION BY LIST (a); CREATE INDEX i ON t (a); \
             CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;",
        ),
        ("V2__x.sql", "REINDEX INDEX i;"),
    ];
    run(&database, &files)
        .code(76)
        .says("25001 active_sql_transaction")
        .says("in the first line of its file: -- premain: no-transaction");
    run(&database, &[files[0], ("V2__x.sql", "CALL p();")])
        .code(76)
        .says("2D000 invalid_transaction_termination")
        .says("-- premain: no-transaction");
    run(&database, &[files[0], ("V2__x.sql", "-- premain: no-transaction\nREINDEX INDEX i")])
        .code(0);
}

#[test]
fn the_documentation_shows_the_printed_error() {
    let database = Server::shared().database();
    let files = [
        ("V1__create_orders.sql", "CREATE TABLE orders (id int, status text);"),
        (
            "V2__index_orders.sql",
            "-- for the list of open orders\n\nCREATE INDEX ON orders (status, custmer);",
        ),
    ];
    let ended = run(&database, &files).code(76);
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/migrations.md"));
    let page = page.unwrap();
    let begin = ended.log.find("premain: error:").unwrap();
    for line in ended.log[begin..].lines() {
        let line = match line.split_once("/V2__") {
            // The directory is another one each time.
            Some((head, tail)) => {
                let head = &head[..head.rfind(' ').unwrap()];
                format!("{head} ./migrations/V2__{tail}")
            }
            None => line.to_owned(),
        };
        assert!(page.contains(line.trim_end()), "docs/migrations.md lacks: {line}");
    }
}
