//! One application: its database, its directory of migrations in one format, and the person who operates it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::support::layout::{file_name, metadata, recorded};
use crate::support::postgres::Server;
use crate::support::premain::{Ended, premain};
use crate::support::{PATIENCE, output, program};
use crate::{APPLICATION, Dice, Findings};

/// The advisory lock of premain.
const LOCK: &str = "31650977343957358";

/// Older versions of the directory than this are removed: no process reads them any more.
const KEPT_VERSIONS: usize = 50;

/// What premain says about a migration that stopped halfway; and, if it read the directory before the operator corrected
/// that migration, afterwards.
const HALFWAY: [&str; 4] = ["halfway", "were kept", "was kept", "was edited after it was applied"];

/// What a migration does. Each but the index adds rows to the table `log`, and its down migration removes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Migration {
    /// One transaction.
    Transaction,
    /// One transaction that needs a lock that others hold.
    Blocked,
    /// One transaction that takes its time.
    Slow,
    /// Two parts around a statement that cannot run in a transaction.
    TwoParts,
    /// As `TwoParts`, but it fails between the parts until it is corrected.
    Broken,
    /// A procedure that commits between its two parts.
    Call,
    /// Two parts, with its own COMMIT between them.
    Commits,
    /// One statement without a transaction, which must not be repeated.
    Single,
    /// An index built CONCURRENTLY, which may be repeated.
    Index,
}

/// What a replica does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Launch,
    Migrate,
    RollBack,
}

/// One application.
pub struct World {
    pub database: String,
    /// Without the proxy.
    pub url: String,
    format: &'static str,
    /// Holds the versions of the directory, and `current`, a link to one of them.
    root: tempfile::TempDir,
    migrations: Mutex<Vec<Migration>>,
    /// One person at a time.
    operator: Mutex<()>,
    /// How often each migration was reported as applied.
    claims: Mutex<BTreeMap<usize, usize>>,
    /// How often a migration may have been made pending again.
    undone: Mutex<usize>,
}

impl World {
    pub fn new(format: &'static str, server: &Server) -> World {
        let database = server.database();
        let world = World {
            url: database.url(),
            database: database.name.clone(),
            format,
            root: tempfile::tempdir().unwrap(),
            migrations: Mutex::default(),
            operator: Mutex::default(),
            claims: Mutex::default(),
            undone: Mutex::default(),
        };
        world.publish(&[Migration::Transaction]);
        world.migrations.lock().unwrap().push(Migration::Transaction);
        world
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The options that name its migrations.
    pub fn migrations(&self) -> [String; 4] {
        // One version: a running container's image does not change.
        let current = fs::canonicalize(self.root().join("current")).unwrap();
        let current = current.to_str().unwrap().to_owned();
        ["--migrations".to_owned(), current, "--format".to_owned(), self.format.to_owned()]
    }

    pub fn has_down(&self) -> bool {
        !matches!(self.format, "refinery" | "drizzle" | "drizzle1")
    }

    /// Adds the next migration, all of it at once, as in an image.
    pub fn add_migration(&self, dice: &mut Dice) {
        let mut migrations = self.migrations.lock().unwrap();
        migrations.push(match dice.below(14) {
            0..4 => Migration::Transaction,
            4 => Migration::Blocked,
            5 => Migration::Slow,
            6..8 => Migration::TwoParts,
            8 => Migration::Broken,
            9 => Migration::Call,
            10..12 => Migration::Commits,
            12 => Migration::Single,
            _ => Migration::Index,
        });
        self.publish(&migrations);
    }

    /// Corrects a migration that fails.
    fn correct(&self, n: usize) {
        let mut migrations = self.migrations.lock().unwrap();
        if migrations[n - 1] == Migration::Broken {
            migrations[n - 1] = Migration::TwoParts;
            self.publish(&migrations);
        }
    }

    /// Writes a new version of the directory, and lets `current` lead to it.
    fn publish(&self, migrations: &[Migration]) {
        let versions = fs::read_dir(self.root()).unwrap().flatten();
        let mut versions: Vec<usize> =
            versions.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        versions.sort_unstable();
        let version = versions.last().map_or(1, |last| last + 1);
        let directory = self.root().join(version.to_string());
        for (at, migration) in migrations.iter().enumerate() {
            for (name, text) in self.files(at + 1, *migration) {
                write(directory.join(name), &text);
            }
        }
        if let Some((name, text)) = metadata(self.format, migrations.len()) {
            write(directory.join(name), &text);
        }
        let link = self.root().join("next");
        std::os::unix::fs::symlink(version.to_string(), &link).unwrap();
        fs::rename(link, self.root().join("current")).unwrap();
        for old in versions.iter().rev().skip(KEPT_VERSIONS) {
            let _ = fs::remove_dir_all(self.root().join(old.to_string()));
        }
    }

    /// The files of a migration, by their names.
    fn files(&self, n: usize, migration: Migration) -> Vec<(String, String)> {
        let (up, down) = migration.sql(n);
        let in_transaction = !migration.is_without_transaction();
        let name = file_name(self.format, n);
        let marked = |sql: &str| match in_transaction {
            true => sql.to_owned(),
            false => format!("-- premain: no-transaction\n{sql}"),
        };
        let two = |down_name: String| vec![(down_name, marked(&down)), (name.clone(), marked(&up))];
        match self.format {
            "sql" => two(name.replace(".sql", ".down.sql")),
            "sqlx" => vec![
                (name.replace(".sql", ".up.sql"), marked(&up)),
                (name.replace(".sql", ".down.sql"), marked(&down)),
            ],
            "golang-migrate" => two(name.replace(".up.sql", ".down.sql")),
            "flyway" => two(name.replace('V', "U")),
            "prisma" => two(name.replace("migration.sql", "down.sql")),
            "dbmate" => {
                let option = if in_transaction { "" } else { " transaction:false" };
                let text =
                    format!("-- migrate:up{option}\n{up}\n-- migrate:down{option}\n{down}\n");
                vec![(name, text)]
            }
            "goose" => {
                let option = if in_transaction { "" } else { "-- +goose NO TRANSACTION\n" };
                vec![(name, format!("{option}-- +goose Up\n{up}\n-- +goose Down\n{down}\n"))]
            }
            _ => vec![(name, marked(&up))],
        }
    }

    /// Runs SQL in its database; fails while the server is away.
    pub fn psql(&self, sql: &str) -> Result<String, String> {
        let output = output(self.client().args(["-c", sql]));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// A session that holds locks for as long as its statements take.
    pub fn hold(&self, sql: &str) -> Child {
        let mut client = self.client();
        client.args(["-c", sql]).stdout(Stdio::null()).stderr(Stdio::null());
        client.spawn().unwrap()
    }

    fn client(&self) -> Command {
        let mut command = Command::new(program("psql", "postgresql-client"));
        command.env_clear().args(["-XqAt", "-v", "ON_ERROR_STOP=1", &self.url]);
        command
    }

    /// Whether it ended as the table of exit codes has it, and as its log says.
    pub fn judge(&self, ended: &Ended, action: Action, sent: Option<Signal>, findings: &Findings) {
        let log = &ended.log;
        let success = if action == Action::Launch { APPLICATION } else { 0 };
        let stopped = sent.map(|signal| 128 + signal as i32);
        let fine = [success, 69, 75].contains(&ended.code)
            || Some(ended.code) == stopped
            || ended.code == 65 && HALFWAY.iter().any(|words| log.contains(words));
        if !fine {
            let (code, format) = (ended.code, self.format);
            findings
                .violated(format!("{format}: {action:?} ended with {code} after {sent:?}:\n{log}"));
        }
        findings.count(format!("exit {}", ended.code));
        if action == Action::RollBack {
            *self.undone.lock().unwrap() += 1;
        }
        let counted = [
            ("connecting again", "connections taken up again"),
            ("it was committed", "found committed"),
            ("it was rolled back", "found rolled back"),
            ("retrying in", "waited for table locks"),
            ("rolled back in", "migrations rolled back"),
        ];
        for line in log.lines() {
            for (_, what) in counted.iter().filter(|(text, _)| line.contains(text)) {
                findings.count(*what);
            }
            let applied = line.strip_prefix("premain: migration ");
            if let Some((title, _)) = applied.and_then(|line| line.split_once(" applied in")) {
                findings.count("migrations applied");
                *self.claims.lock().unwrap().entry(number(title)).or_default() += 1;
            }
        }
    }

    /// Does what a person does about a migration that stopped halfway: looks what is there, completes or undoes it by
    /// hand, and tells premain.
    pub fn operate(&self, dice: &mut Dice, findings: &Findings) {
        let _one = self.operator.lock().unwrap();
        let began = Instant::now();
        while let Err(error) = self.try_to_operate(dice, findings) {
            if began.elapsed() > PATIENCE {
                return findings.violated(format!("{}: cannot be resolved: {error}", self.format));
            }
        }
    }

    fn try_to_operate(&self, dice: &mut Dice, findings: &Findings) -> Result<(), String> {
        // Under the lock no replica is just running what is marked as started.
        let name = format!("operator-{}", self.format);
        let mut holder = self.hold(&format!(
            "SET application_name = '{name}'; SELECT pg_advisory_lock({LOCK}); SELECT pg_sleep(60)"
        ));
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{name}'"
        );
        let seen = self.look(&name, dice, findings);
        let ended = self.psql(&end);
        let _ = holder.wait();
        ended?;
        let Some((title, resolution)) = seen? else { return Ok(()) };
        let resolved = premain(["resolve", resolution, &title])
            .words(self.migrations())
            .database(&self.url)
            .run();
        match resolved.code {
            0 => {
                findings.count(format!("resolved: {resolution}"));
                *self.undone.lock().unwrap() += usize::from(resolution == "--rolled-back");
                Ok(())
            }
            _ => Err(resolved.log),
        }
    }

    /// What is halfway, if anything, and what to tell premain after it was completed or undone by hand.
    fn look(
        &self,
        holder: &str,
        dice: &mut Dice,
        findings: &Findings,
    ) -> Result<Option<(String, &'static str)>, String> {
        let holds = format!(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) \
             WHERE application_name = '{holder}' AND locktype = 'advisory' AND granted"
        );
        let began = Instant::now();
        while self.psql(&holds)? != "1" {
            if began.elapsed() > PATIENCE {
                return Err("the lock is not free".to_owned());
            }
        }
        let status = premain(["status", "--exit-code", "--output", "json"])
            .words(self.migrations())
            .database(&self.url)
            .run();
        match status.code {
            0 | 1 => return Ok(None),
            2 => {}
            _ => return Err(status.log),
        }
        let failed = status
            .output
            .split('{')
            .find(|row| row.contains(r#""state": "failed""#) && row.contains(r#""name""#));
        let failed = failed.or_else(|| {
            status
                .output
                .split('{')
                .find(|row| row.contains(r#""state":"failed""#) && row.contains(r#""name""#))
        });
        let title = failed.and_then(|row| row.split(r#""name""#).nth(1)?.split('"').nth(1));
        let Some(title) = title else {
            return Err(format!("status names none: {}", status.output));
        };
        let n = number(title);
        let parts = self.migrations.lock().unwrap()[n - 1].parts();
        let rows = self.psql(&format!("SELECT part FROM log WHERE n = {n} ORDER BY part"))?;
        if !["", "1", "2", "1\n2"].contains(&rows.as_str()) {
            findings.violated(format!("{}: {title} was repeated: {rows:?}", self.format));
        }
        self.correct(n);
        let forward = dice.one_in(2);
        let parts: Vec<_> = (1..=parts).map(|part| format!("({n}, {part})")).collect();
        let mut fix = format!("DELETE FROM log WHERE n = {n}");
        if forward && !parts.is_empty() {
            fix = format!("{fix}; INSERT INTO log (n, part) VALUES {}", parts.join(", "));
        }
        self.psql(&format!("BEGIN; {fix}; COMMIT"))?;
        Ok(Some((title.to_owned(), if forward { "--applied" } else { "--rolled-back" })))
    }

    /// Checks the invariants, and returns how many migrations there are.
    pub fn check(&self, findings: &Findings) -> usize {
        let mut dice = Dice(1);
        let began = Instant::now();
        loop {
            let last = premain(self.migrations()).with("migrate").database(&self.url).run();
            self.judge(&last, Action::Migrate, None, findings);
            match last.code {
                0 => break,
                _ if began.elapsed() > PATIENCE || findings.are_enough() => {
                    findings.violated(format!("{}: still not migrated", self.format));
                    break;
                }
                65 => self.operate(&mut dice, findings),
                _ => {}
            }
        }
        let ask = |sql: &str| self.psql(sql).unwrap_or_else(|error| error);
        let migrations = self.migrations.lock().unwrap();
        let violated = |what: String| findings.violated(format!("{}: {what}", self.format));

        let rows = migrations.iter().enumerate().flat_map(|(at, migration)| {
            (1..=migration.parts()).map(move |part| format!("{}|{part}", at + 1))
        });
        let ran = ask("SELECT n, part FROM log ORDER BY n, part");
        if ran.lines().map(str::to_owned).ne(rows) {
            violated(format!("not every migration ran once: {migrations:?}\n{ran}"));
        }
        let mut found: Vec<usize> =
            ask(recorded(self.format)).lines().filter_map(|line| line.parse().ok()).collect();
        found.sort_unstable();
        if found.iter().copied().ne(1..=migrations.len()) {
            violated(format!("recorded are {found:?} of {}", migrations.len()));
        }
        let undone = *self.undone.lock().unwrap();
        for (n, count) in self.claims.lock().unwrap().iter() {
            if *count > 1 + undone {
                violated(format!("{count} said that {n} was applied"));
            }
        }
        for (what, sql) in [
            (
                "advisory locks",
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = \
                 (SELECT oid FROM pg_database WHERE datname = current_database())",
            ),
            (
                "backends",
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'premain' \
                 AND datname = current_database()",
            ),
            ("invalid indexes", "SELECT count(*) FROM pg_index WHERE NOT indisvalid"),
            (
                "marks",
                "SELECT coalesce((SELECT (xpath('//c/text()', query_to_xml('SELECT count(*) AS c FROM ' || oid::regclass, \
                 true, true, '')))[1]::text::int FROM pg_class WHERE relname = 'premain_unfinished'), 0)",
            ),
        ] {
            let began = Instant::now();
            while ask(sql) != "0" {
                if began.elapsed() > PATIENCE {
                    violated(format!("{what} are left: {}", ask(sql)));
                    break;
                }
            }
        }
        migrations.len()
    }
}

impl Migration {
    /// The up migration and the down migration.
    fn sql(self, n: usize) -> (String, String) {
        let insert = |part| format!("INSERT INTO log (n, part) VALUES ({n}, {part})");
        let remove = |part| format!("DELETE FROM log WHERE n = {n} AND part = {part}");
        let up = match self {
            // The first one.
            Migration::Transaction if n == 1 => format!(
                "CREATE TABLE log (n int, part int); CREATE TABLE busy (a int); {SET_UP} {};",
                insert(1)
            ),
            Migration::Transaction | Migration::Single => format!("{};", insert(1)),
            Migration::Blocked => {
                format!("ALTER TABLE busy ADD b{n} int; ALTER TABLE busy DROP b{n}; {};", insert(1))
            }
            Migration::Slow => format!("SELECT pg_sleep(0.2); {};", insert(1)),
            Migration::TwoParts => format!("{};\nVACUUM busy;\n{};", insert(1), insert(2)),
            Migration::Broken => {
                format!("{};\nVACUUM busy;\nSELECT nosuch;\n{};", insert(1), insert(2))
            }
            Migration::Call => format!("CALL add_both({n});"),
            Migration::Commits => format!("{};\nCOMMIT;\n{};", insert(1), insert(2)),
            Migration::Index => format!("CREATE INDEX CONCURRENTLY i{n} ON busy (a);"),
        };
        let down = match self {
            Migration::Transaction if n == 1 => {
                "DROP TABLE log, busy; DROP PROCEDURE add_both, remove_both;".to_owned()
            }
            Migration::Transaction | Migration::Single | Migration::Blocked | Migration::Slow => {
                format!("{};", remove(1))
            }
            Migration::TwoParts | Migration::Broken => {
                format!("{};\nVACUUM busy;\n{};", remove(1), remove(2))
            }
            Migration::Call => format!("CALL remove_both({n});"),
            Migration::Commits => format!("{};\nCOMMIT;\n{};", remove(1), remove(2)),
            Migration::Index => format!("DROP INDEX CONCURRENTLY IF EXISTS i{n};"),
        };
        (up, down)
    }

    fn is_without_transaction(self) -> bool {
        matches!(
            self,
            Migration::TwoParts
                | Migration::Broken
                | Migration::Call
                | Migration::Single
                | Migration::Index
        )
    }

    /// How many rows it adds to the table `log`.
    fn parts(self) -> usize {
        match self {
            Migration::Transaction | Migration::Blocked | Migration::Slow | Migration::Single => 1,
            Migration::TwoParts | Migration::Broken | Migration::Call | Migration::Commits => 2,
            Migration::Index => 0,
        }
    }
}

/// The procedures of `Migration::Call`. In one transaction with the tables, without a semicolon that a tool could split at.
const SET_UP: &str = "CREATE PROCEDURE add_both(k int) LANGUAGE plpgsql AS \
    'BEGIN INSERT INTO log VALUES (k, 1); COMMIT; INSERT INTO log VALUES (k, 2); END'; \
    CREATE PROCEDURE remove_both(k int) LANGUAGE plpgsql AS \
    'BEGIN DELETE FROM log WHERE n = k AND part = 1; COMMIT; DELETE FROM log WHERE n = k AND part = 2; END';";

/// The number at the end of a migration's title: `0003_t3`.
fn number(title: &str) -> usize {
    title.rsplit('t').next().and_then(|number| number.parse().ok()).unwrap()
}

fn write(path: PathBuf, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}
