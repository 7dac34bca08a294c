//! The table of options. One row is an option, its variable, the type of its value, its help, and
//! its row in the README.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use tracing::Level;

use super::given::{Field, Given, Slot};
use super::value::{
    Completion, Count, Flag, HookCommand, HookDirectory, HttpTarget, Limit, LogFormat, Output,
    Pause, ServerLimit, TcpTarget, Timeout, Value, VariableName,
};
use crate::database::connection_string::url::redact;
use crate::init::SignalTarget;
use crate::init::rules::{Remap, Rewrite};
use crate::launch::User;
use crate::migrate::formats::Format;
use crate::migrate::settings::{HistoryTableName, Policy, SourceChoice};
use crate::signal::Signal;
use crate::value::Problem;
use crate::wait::Target;

/// One option as people see it.
pub(crate) struct OptionInfo {
    /// Its field in [`Options`]: `wait_timeout`.
    pub field: &'static str,
    /// What the value is called in the help; `None` for a flag.
    pub value: Option<&'static str>,
    /// The section of the help that lists it.
    pub section: Section,
    /// [`OptionInfo::help`], with `{formats}` for the names of all formats.
    help: &'static str,
    /// Whether it may be repeated.
    pub repeated: bool,
    /// Whether an empty variable is an error instead of unset.
    pub rejects_empty: bool,
    /// Whether messages may show the value.
    pub shown: bool,
    /// What a shell should complete.
    pub completion: fn() -> Completion,
}

/// The sections of the help text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Section {
    Waiting,
    Migrating,
    Init,
    Health,
    Output,
}

impl Section {
    /// Every section, in the order of the help text.
    pub(crate) const ALL: [Section; 5] =
        [Section::Waiting, Section::Migrating, Section::Init, Section::Health, Section::Output];

    pub(crate) fn title(self) -> &'static str {
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
    /// Without dashes in front: `wait-timeout`.
    pub(crate) fn name(&self) -> String {
        self.field.replace('_', "-")
    }

    /// The environment variable: `PREMAIN_WAIT_TIMEOUT`.
    pub(crate) fn variable(&self) -> String {
        format!("{PREFIX}{}", self.field.to_ascii_uppercase())
    }

    /// `--wait-timeout DURATION`
    pub(crate) fn usage(&self) -> String {
        let value = self.value.map(|value| format!(" {value}")).unwrap_or_default();
        format!("--{}{value}", self.name())
    }

    /// What it does, in one or more sentences, with its default.
    pub(crate) fn help(&self) -> String {
        self.help.replace("{formats}", &Format::names())
    }

    /// The option of that name, without dashes in front.
    pub(crate) fn find(name: &str) -> Option<&'static OptionInfo> {
        OPTIONS.iter().find(|option| option.name() == name)
    }

    /// The option of that environment variable.
    pub(crate) fn of_variable(name: &str) -> Option<&'static OptionInfo> {
        OPTIONS.iter().find(|option| option.variable() == name)
    }
}

/// What every variable of premain's own begins with.
pub(crate) const PREFIX: &str = "PREMAIN_";

/// Makes [`OPTIONS`] and [`Options`]. A row is `field: Type = "VALUE", "help";`, where a flag has
/// no `= "VALUE"`; a `Vec` may be repeated.
macro_rules! options {
    ($($section:ident { $($field:ident: $type:ty $(= $value:literal)?, $help:literal;)* })*) => {
        /// Every option, in the order of the help text.
        pub(crate) const OPTIONS: &[OptionInfo] = &[$($(OptionInfo {
            field: stringify!($field),
            value: options!(@value $($value)?),
            section: Section::$section,
            help: $help,
            repeated: <$type as Field>::REPEATED,
            rejects_empty: <<$type as Field>::One as Value>::REJECTS_EMPTY,
            shown: <<$type as Field>::One as Value>::SHOWN,
            completion: <<$type as Field>::One as Value>::completion,
        }),*),*];

        /// Every option as it was given.
        #[derive(Default)]
        pub(crate) struct Options { $($(pub(super) $field: Given<$type>,)*)* }

        impl Options {
            /// Every field, in the order of [`OPTIONS`].
            fn slots(&mut self) -> [&mut dyn Slot; OPTIONS.len()] {
                [$($(&mut self.$field,)*)*]
            }
        }
    };
    (@value) => { None };
    (@value $value:literal) => { Some($value) };
}

options! {
    Waiting {
        wait_timeout: Limit = "DURATION",
            "How long to wait for the database and every other target together; 0 means no limit. Default 60s; 2s for 'premain status' and 'premain plan'.";
        wait_for: Vec<Target> = "TARGET",
            "Wait for this target as well: tcp://host:port, http(s)://…, unix:///path, file:///path or postgres://…. May be repeated.";
        db_optional: Flag,
            "Start the application even if the database does not become ready in time.";
    }
    Migrating {
        migrations: SourceChoice = "WHERE",
            "A directory, 'embedded', 'none', or 'auto': ./drizzle, ./prisma/migrations or ./migrations, otherwise what is embedded. Default auto.";
        format: Format = "FORMAT",
            "The layout of the directory, if its files do not tell: {formats}.";
        history_table: HistoryTableName = "[SCHEMA.]TABLE",
            "The history table, if it is not the native tool's default. Without SCHEMA it is in Drizzle's schema, or where the session creates tables. As in SQL, a name with capitals needs double quotes.";
        lock_timeout: ServerLimit = "DURATION",
            "How long to wait while another replica migrates; 0 means no limit. Default 5m.";
        ddl_lock_timeout: ServerLimit = "DURATION",
            "How long a statement of a migration may wait for a table lock before the migration is rolled back and retried; 0 means no limit. Default 5s.";
        ddl_retries: Count = "COUNT",
            "How often to retry a migration that ran into --ddl-lock-timeout. Default 10.";
        on_edited: Policy = "fail|warn|ignore",
            "What to do if the file of an applied migration was edited. Default: what the migration tool itself does (docs/formats.md).";
        on_missing: Policy = "fail|warn|ignore",
            "What to do if the file of an applied migration is missing although there are newer files. Default: what the migration tool itself does (docs/formats.md).";
        on_ahead: Policy = "fail|warn|ignore",
            "What to do if applied migrations are newer than every file, because an older image was started. Default warn.";
        on_out_of_order: Policy = "fail|warn|ignore",
            "What to do with a pending migration that is older than an applied one: stop, apply it with a warning, or apply it. Default: what the migration tool itself does (docs/formats.md).";
        generate: HookCommand = "CMD",
            "Run this before the migrations directory is read. Example: npx drizzle-kit generate.";
        before_migrate: HookCommand = "CMD",
            "Run this before the first pending migration, with the lock held, and only if a migration is pending. Example: a backup.";
        after_migrate: HookCommand = "CMD",
            "Run this at every start once no migration is pending, with the lock held. Example: an idempotent seed.";
    }
    Init {
        exec: Flag,
            "Run without an init: boot in this process, which then becomes the application.";
        grace: Limit = "DURATION",
            "How long after the first TERM or INT to send KILL; 0 means never. Default 8s, below Docker's 10.";
        signal_target: SignalTarget = "child|group",
            "Forward signals to the application, or to its whole process group. Default child.";
        rewrite: Vec<Rewrite> = "FROM:TO",
            "Forward signal TO when FROM arrives; TO 0 drops it. Example: TERM:QUIT. May be repeated.";
        term_delay: Pause = "DURATION",
            "How long to wait before the first TERM is forwarded, so that load balancers notice; part of --grace. Default 0s.";
        remap_exit: Vec<Remap> = "FROM:TO",
            "Exit with status TO if the application exited with FROM. Example: 143:0. May be repeated.";
        pdeathsig: Signal = "SIGNAL",
            "The signal that this init gets when its own parent dies; for use outside of containers.";
        user: User = "NAME|UID[:GROUP|GID]",
            "Run the application as this user. Migrations run before the change.";
        drop_env: Vec<VariableName> = "NAME",
            "Remove this variable from the application's environment. May be repeated.";
        entrypoint_d: HookDirectory = "DIRECTORY",
            "Run the executables in this directory before the application, in the order of their names; 'none' disables it. Default /docker-entrypoint.d, if it exists.";
    }
    Health {
        http: HttpTarget = "URL",
            "Check this page, which must answer 2xx or 3xx, instead of the database.";
        tcp: TcpTarget = "HOST:PORT",
            "Check that this port accepts a connection, instead of the database.";
        health_timeout: Timeout = "DURATION",
            "How long an answer may take. Default 3s.";
        boot_ok: Flag,
            "Report healthy while the application has not started yet: for liveness probes, which must not kill a long migration.";
    }
    Output {
        log: Level = "LEVEL",
            "error, warn, info, debug or trace. Default info.";
        log_format: LogFormat = "text|json",
            "The format of log lines. Default text.";
        output: Output = "table|json",
            "The format in which 'premain status', 'premain plan' and 'premain health' print. Default table.";
        exit_code: Flag,
            "Let 'premain status' exit with 1 if a migration is pending, 2 if one failed halfway, 65 on drift.";
    }
}

impl Options {
    /// Takes a value from the command line, which overrides the variable.
    pub(crate) fn give(&mut self, option: &OptionInfo, text: &str) {
        let name = format!("--{}", option.name());
        let Some(slot) = self.slot(option) else { return };
        let notes = slot.notes();
        if notes.name == name && !option.repeated {
            let is_flag_again = option.value.is_none() && notes.text == text;
            if !is_flag_again {
                let both = match option.shown {
                    true => format!(", as '{}' and as '{}'", redact(&notes.text), redact(text)),
                    false => String::new(),
                };
                notes.faults.push(format!("is given twice{both}; keep one"));
            }
            return;
        }
        if notes.name != name {
            slot.clear();
        }
        read(slot, option, name, text);
    }

    /// Moves what is wrong or doubtful with the values to `problems` and `warnings`.
    pub(crate) fn take_problems(
        &mut self,
        problems: &mut Vec<Problem>,
        warnings: &mut Vec<String>,
    ) {
        for slot in self.slots() {
            let notes = slot.notes();
            let name = &notes.name;
            let faults = notes.faults.drain(..);
            problems.extend(faults.map(|what| Problem { name: name.clone(), what }));
            warnings.append(&mut notes.warnings);
        }
    }

    fn slot(&mut self, option: &OptionInfo) -> Option<&mut dyn Slot> {
        let index = OPTIONS.iter().position(|other| other.field == option.field)?;
        self.slots().into_iter().nth(index)
    }
}

fn read(slot: &mut dyn Slot, option: &OptionInfo, name: String, text: &str) {
    let text = text.trim();
    let notes = slot.notes();
    notes.name = name;
    text.clone_into(&mut notes.text);
    if text.is_empty() {
        let value = option.value.unwrap_or("true|false");
        notes.faults.push(format!("is empty; give it a value ({value}) or leave it out"));
    } else {
        slot.read(text);
    }
}

/// From the variables without their prefix, in lower case, as envy has them. What is wrong with a
/// value is kept with it, so this never fails. (A derived visitor of so many fields is thirty times
/// the size.)
impl<'de> Deserialize<'de> for Options {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Variables)
    }
}

struct Variables;

impl<'de> Visitor<'de> for Variables {
    type Value = Options;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("variables")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Options, A::Error> {
        let mut options = Options::default();
        while let Some((field, text)) = map.next_entry::<String, String>()? {
            if let Some(option) = OPTIONS.iter().find(|option| option.field == field)
                && let Some(slot) = options.slot(option)
            {
                read(slot, option, option.variable(), &text);
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_a_few_words_is_called_by_them() {
        for option in OPTIONS {
            let Completion::Words(words) = (option.completion)() else { continue };
            let called = option.value.unwrap();
            let listed = words.iter().all(|word| option.help().contains(word));
            assert!(called == words.join("|") || listed, "{called}: {words:?}");
        }
    }
}
