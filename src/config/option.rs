//! The table of options: one entry is the command line, the environment variable, the help text
//! and the README's row at once.

use std::collections::BTreeMap;

/// One option as people see it.
pub struct OptionInfo {
    /// The name without dashes: `wait-timeout`.
    pub name: &'static str,
    /// What the value is called in the help; `None` for a flag.
    pub value: Option<&'static str>,
    /// The part of the help it stands in.
    pub section: Section,
    /// What it does, in one or more sentences, with its default.
    pub help: &'static str,
}

/// The parts of the help text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    /// Waiting for the database and other targets.
    Waiting,
    /// Applying migrations.
    Migrating,
    /// The application and its init.
    Init,
    /// `premain health`.
    Health,
    /// What premain prints.
    Output,
}

impl Section {
    /// Every section, in the order of the help text.
    pub const ALL: [Section; 5] =
        [Section::Waiting, Section::Migrating, Section::Init, Section::Health, Section::Output];

    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Section::Waiting => "Waiting",
            Section::Migrating => "Migrating",
            Section::Init => "The application and its init",
            Section::Health => "premain health",
            Section::Output => "Output",
        }
    }
}

impl OptionInfo {
    /// The environment variable: `PREMAIN_WAIT_TIMEOUT`.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.replace('-', "_").to_uppercase())
    }

    /// The option of that name, without dashes.
    pub fn find(name: &str) -> Option<&'static OptionInfo> {
        OPTIONS.iter().find(|option| option.name == name)
    }
}

/// What every variable of premain's own begins with.
pub const PREFIX: &str = "PREMAIN_";

/// `options! { Section { field "name" = "VALUE": "help" … } … }` makes [`OPTIONS`] and [`Raw`].
macro_rules! options {
    ($($section:ident { $($field:ident $name:literal $(= $value:literal)?: $help:literal;)* })*) => {
        /// Every option, in the order of the help text.
        pub const OPTIONS: &[OptionInfo] = &[$($(OptionInfo {
            name: $name,
            value: options!(@value $($value)?),
            section: Section::$section,
            help: $help,
        }),*),*];

        /// The options as they were given, option over variable; nothing is judged yet.
        #[derive(Default)]
        pub struct Raw { $($(#[doc = concat!("`--", $name, "`")] pub $field: Option<String>,)*)* }

        impl From<BTreeMap<String, String>> for Raw {
            /// From the variables without their prefix, in lower case. Told one by one: a visitor of
            /// serde's for as many fields is thirty times the size.
            fn from(mut values: BTreeMap<String, String>) -> Raw {
                Raw { $($($field: values.remove(stringify!($field)),)*)* }
            }
        }
    };
    (@value) => { None };
    (@value $value:literal) => { Some($value) };
}

options! {
    Waiting {
        wait_timeout "wait-timeout" = "DURATION":
            "How long to wait for the database and every other target, all together; 0 = for ever. Default 60s, and 2s for 'premain status' and 'premain plan'.";
        wait_for "wait-for" = "TARGET":
            "Wait for this too, any number: tcp://host:port, http(s)://…, unix:///path, file:///path, postgres://….";
        db_optional "db-optional":
            "When the database does not become ready in time, start the application all the same.";
    }
    Migrating {
        migrations "migrations" = "WHERE":
            "A folder, 'embedded', 'none', or 'auto': ./drizzle, ./prisma/migrations or ./migrations, else what is embedded. Default auto.";
        format "format" = "FORMAT":
            "The folder's layout where it cannot be told from its files: refinery, drizzle, drizzle1 (1.0 and later), prisma, sql, sqlx, dbmate, golang-migrate, goose, flyway.";
        history_table "history-table" = "[SCHEMA.]TABLE":
            "The history table, if it is not the one that the native tool uses; without SCHEMA in Drizzle's, else wherever the session creates tables. As in SQL, a name with capitals takes double quotes.";
        lock_timeout "lock-timeout" = "DURATION":
            "How long to wait while another replica migrates; 0 = for ever. Default 5m.";
        ddl_lock_timeout "ddl-lock-timeout" = "DURATION":
            "How long one statement of a migration may queue for a table lock before it is rolled back and tried again; 0 = for ever. Default 5s.";
        ddl_retries "ddl-retries" = "COUNT":
            "How often a migration that ran into --ddl-lock-timeout is tried again. Default 10.";
        on_edited "on-edited" = "fail|warn|ignore":
            "What to do about an applied migration whose file was changed since. Default fail, and warn where the native tool does not look.";
        on_missing "on-missing" = "fail|warn|ignore":
            "What to do about an applied migration whose file is gone although newer ones are there. Default fail, and warn where the native tool does not look.";
        on_ahead "on-ahead" = "fail|warn|ignore":
            "What to do about applied migrations that are newer than every file: an older image was started. Default warn.";
        on_out_of_order "on-out-of-order" = "fail|warn|ignore":
            "What to do about a pending migration that is older than an applied one: stop, apply it and say so, apply it. Default as the native tool: fail in refinery's and goose's folders, never applied in Drizzle's before 1.0, else warn.";
        generate "generate" = "CMD":
            "Run this before the migrations folder is read. Example: npx drizzle-kit generate.";
        before_migrate "before-migrate" = "CMD":
            "Run this before the first pending migration, holding the lock, and only when something is pending: backups.";
        after_migrate "after-migrate" = "CMD":
            "Run this once nothing is pending any more, holding the lock, at every start: an idempotent seed.";
    }
    Init {
        exec "exec":
            "No init at all: boot in place, and let the application take this process.";
        grace "grace" = "DURATION":
            "From the first TERM or INT to KILL; 0 = never. Default 8s, below Docker's 10.";
        signal_target "signal-target" = "child|group":
            "Forward signals to the application, or to its whole process group. Default child.";
        rewrite "rewrite" = "FROM:TO":
            "Forward TO where FROM arrives, any number; 0 drops it. Example: TERM:QUIT.";
        term_delay "term-delay" = "DURATION":
            "Wait this long before the first TERM is forwarded, so that load balancers notice; counted within the grace. Default 0s.";
        remap_exit "remap-exit" = "FROM:TO":
            "End with status TO where the application ended with FROM, any number. Example: 143:0.";
        pdeathsig "pdeathsig" = "SIGNAL":
            "The signal this init gets when its own parent dies; for use outside of containers.";
        user "user" = "NAME|UID[:GROUP|GID]":
            "Run the application as this user; migrations run before the change.";
        drop_env "drop-env" = "NAME":
            "Keep this variable from the application, any number.";
        entrypoint_d "entrypoint-d" = "FOLDER":
            "Run the executables of this folder, in the order of their names, before the application; none = none. Default /docker-entrypoint.d, if it is there.";
    }
    Health {
        http "http" = "URL":
            "Ask this page, which must answer 2xx or 3xx, instead of the database.";
        tcp "tcp" = "HOST:PORT":
            "Ask this port, which must accept a connection, instead of the database.";
        health_timeout "health-timeout" = "DURATION":
            "How long an answer may take. Default 3s.";
        boot_ok "boot-ok":
            "An application that has not started yet is healthy, too: for liveness probes, which must not kill a long migration.";
    }
    Output {
        log "log" = "LEVEL":
            "error, warn, info, debug or trace. Default info.";
        log_format "log-format" = "text|json":
            "How a log line looks. Default text.";
        output "output" = "table|json":
            "How 'premain status', 'premain plan' and 'premain health' print. Default table.";
        exit_code "exit-code":
            "'premain status' ends with 1 when something is pending, 2 when a migration failed halfway, 65 on drift.";
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::config::command::COMMANDS;

    /// The README's tables of commands and settings are these tables; `UPDATE_README=1` writes them.
    #[test]
    fn the_readme_has_every_command_and_option() {
        const BEGIN: &str = "UPDATE_README=1 cargo test --lib readme -->\n";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        for (name, expected) in [("commands", commands()), ("settings", settings())] {
            let readme = std::fs::read_to_string(path).unwrap();
            let (before, rest) = readme.split_once(&format!("<!-- {name}: ")).unwrap();
            let (origin, rest) = rest.split_once(BEGIN).unwrap();
            let end = format!("<!-- /{name} -->");
            let (table, after) = rest.split_once(&end).unwrap();
            if std::env::var_os("UPDATE_README").is_some() {
                let text = format!("{before}<!-- {name}: {origin}{BEGIN}{expected}{end}{after}");
                std::fs::write(path, text).unwrap();
            } else {
                assert_eq!(table, expected, "run: UPDATE_README=1 cargo test --lib readme");
            }
        }
    }

    fn commands() -> String {
        let mut text = "\n| | |\n|---|---|\n".to_owned();
        for command in COMMANDS {
            let (line, help) = (command.line(), command.help);
            let line = line.replace('|', "\\|");
            writeln!(text, "| `{line}` | {help} |").unwrap();
        }
        text + "\n"
    }

    fn settings() -> String {
        let mut text = String::new();
        for section in Section::ALL {
            let title = section.title();
            write!(text, "\n**{title}**\n\n| option | variable | |\n|---|---|---|\n").unwrap();
            for option in OPTIONS.iter().filter(|option| option.section == section) {
                let value = option.value.map(|value| format!(" {value}")).unwrap_or_default();
                let usage = format!("--{}{value}", option.name).replace('|', "\\|");
                let help = option.help.replace('|', "\\|");
                let variable = option.variable();
                writeln!(text, "| `{usage}` | `{variable}` | {help} |").unwrap();
            }
        }
        text + "\n"
    }
}
