//! Statements end where psql ends them: both run the same file, and the server's log shows what each of
//! them sent.

use std::fs;
use std::process::Command;

use crate::support::postgres::{Database, Server};
use crate::support::premain::migrate;
use crate::support::{directory, output, program, wait_for};

/// What hides a semicolon, or looks as if it did. Not `E'…'` that goes on in the next line, as the
/// server has it and premain: psql, which reads line by line, forgets the `E`.
const HIDING: [&str; 26] = [
    "1",
    "'a;b'",
    "'it''s; \\'",
    "e'\\';'",
    "E'a''\\\\;'",
    "'a'\n';'",
    "U&'\\0441;'",
    "b'01' AS \"x;\"\"y\"",
    "$$;$$",
    "$a$ $$ ; $b$ ' $a$",
    "$ä1$;$ä1$",
    "'$$' || ';$$'",
    "1 /* ; ' */",
    "1 /* ; /* ' ; */ $$ */",
    "1 -- ; ' $$ /*\n",
    "1 -- ;\r\n",
    "1 -- ;\r",
    "E'a'\r'\\';'",
    "x$a$ FROM (SELECT 1 AS x$a$) AS \";\"",
    "(SELECT (1))",
    "ARRAY[(1), (2)]",
    "1::text || ':x;'",
    "5 - -3",
    "6 /*;*/ / 2",
    "\"größe;\" FROM (SELECT 1) AS t (\"größe;\")",
    "CASE WHEN true THEN ';' END",
];

/// Statements that are no queries.
const WHOLE: [&str; 6] = [
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END",
    "CREATE OR REPLACE PROCEDURE p() LANGUAGE sql BEGIN ATOMIC SELECT 1; END",
    "CREATE TABLE IF NOT EXISTS r (a int)",
    "CREATE RULE r AS ON INSERT TO r DO ALSO (SELECT 1; SELECT 2)",
    "DO $do$ BEGIN PERFORM ';'; END; $do$",
    "DROP FUNCTION f",
];

/// What stands between two statements.
const BETWEEN: [&str; 5] = [";", ";;\n", " ;\r\n\t", "; -- it's ; \n", ";/* ' ; */"];

fn script() -> String {
    let mut between = BETWEEN.iter().cycle();
    let mut sql = "-- premain: no-transaction\n".to_owned();
    let queries = HIDING.iter().flat_map(|one| {
        let last = HIDING.iter().filter(move |_| !one.contains("FROM"));
        last.map(move |other| format!("SELECT {one}, {other}"))
    });
    for statement in WHOLE.iter().map(|sql| (*sql).to_owned()).chain(queries) {
        sql.push_str(&statement);
        sql.push_str(between.next().unwrap());
    }
    sql + "SELECT 'the end, without a semicolon'"
}

/// What was sent to this database, in order.
fn sent(server: &Server, database: &Database<'_>) -> Vec<String> {
    let log = fs::read_to_string(server.data().join("log/server.json")).unwrap();
    // The last line may not be there as a whole yet.
    let entries = log.lines().flat_map(serde_json::from_str::<serde_json::Value>);
    let there = entries.filter(|entry| entry["dbname"] == database.name.as_str());
    let statements = there.filter_map(|entry| {
        let sql = entry["message"].as_str()?.strip_prefix("statement: ")?.trim_end();
        Some(sql.strip_suffix(';').unwrap_or(sql).trim_end().to_owned())
    });
    // psql sends what stands between two semicolons also where that is nothing.
    statements.filter(|sql| !sql.is_empty()).collect()
}

#[test]
fn statements_end_where_psql_ends_them() {
    let server = Server::start(&[
        "logging_collector=on",
        "log_destination=jsonlog",
        "log_filename='server.log'",
        "log_statement=all",
    ]);
    let sql = script();
    let place = directory(&[("1_all.sql", &sql)]);
    let (ours, theirs) = (server.database(), server.database());
    migrate(place.path()).database(ours.url()).run().code(0);
    let file = place.path().join("1_all.sql");
    let mut command = Command::new(program("psql", "postgresql-client"));
    command.args(["-X", "-v", "ON_ERROR_STOP=1", "-f"]).arg(file).arg(theirs.url());
    let output = output(&mut command);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all = HIDING.len() * HIDING.len();
    let psql = wait_for("the log has all of it", || {
        let sent = sent(&server, &theirs);
        sent.last().is_some_and(|last| last.contains("the end")).then_some(sent)
    });
    // premain asks for the lock after what may release it, and notes what was kept.
    let own = ["pg_catalog.pg_locks", "premain_unfinished"];
    let is_own = |sql: &String| own.iter().any(|own| sql.contains(own));
    let premain: Vec<_> = sent(&server, &ours).into_iter().filter(|sql| !is_own(sql)).collect();
    let begin = premain.iter().position(|sql| sql.contains("BEGIN ATOMIC")).unwrap();
    let end = premain.iter().rposition(|sql| sql.contains("the end")).unwrap();
    let premain = &premain[begin..=end];
    assert!(psql.len() > all / 2 && all > 500, "{}", psql.len());
    for (ours, theirs) in premain.iter().zip(&psql) {
        // psql sends the comments in front as well.
        assert!(theirs.ends_with(ours.as_str()), "premain: {ours}\npsql: {theirs}");
    }
    assert_eq!(premain.len(), psql.len());
}
