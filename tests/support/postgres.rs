//! A private PostgreSQL server: `initdb`, a free loopback port, a unix socket, fsync off.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::sync::{Once, OnceLock};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::certificates::Authority;
use super::process::{self, Printed};
use super::programs::{NEWEST, as_postgres, copy, from_npm, own, programs};
use super::{PATIENCE, output, program, wait_for};

/// A server that ends with the test process.
pub struct Server {
    programs: PathBuf,
    directory: TempDir,
    port: u16,
    child: Option<Child>,
    network: Option<PathBuf>,
    /// The language of its messages, as in `LANGUAGE`.
    pub language: &'static str,
}

/// One database on a server, dropped with the server.
pub struct Database<'a> {
    server: &'a Server,
    pub name: String,
}

/// The password of the role `postgres`, wherever one is asked for. It must never be printed.
pub const PASSWORD: &str = "canary-hunter2";

impl Server {
    /// The server that most tests share, each with a database of its own.
    pub fn shared() -> &'static Server {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| Server::start(&[]))
    }

    /// A running server with these settings (`name=value`).
    pub fn start(settings: &[&str]) -> Server {
        let mut server = Server::create(settings);
        server.run();
        server
    }

    /// A server that does not run yet, on a port that is already its own.
    pub fn create(settings: &[&str]) -> Server {
        Server::of(programs(), copy_template, settings)
    }

    /// The same, with the newest version of PostgreSQL that tests/run installs.
    pub fn newest(settings: &[&str]) -> Server {
        let programs = from_npm(NEWEST);
        Server::of(&programs, |data| initdb(&programs, data), settings)
    }

    /// A streaming replica of this server.
    pub fn replica(&self) -> Server {
        let copy = |data: &Path| {
            let (directory, port) = (data.parent().unwrap(), self.port.to_string());
            own(directory);
            let mut command = as_postgres(&self.programs.join("pg_basebackup"));
            command.args(["-R", "--no-sync", "--checkpoint=fast", "-U", "postgres", "-h"]);
            command.arg(self.socket()).args(["-p", port.as_str(), "-D"]).arg(data);
            let output = output(&mut command);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        let mut server = Server::of(&self.programs, copy, &[]);
        server.run();
        server
    }

    fn of(programs: &Path, fill: impl FnOnce(&Path), settings: &[&str]) -> Server {
        let directory = place();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let data = directory.path().join("data");
        fill(&data);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut file = File::options().append(true).open(data.join("postgresql.conf")).unwrap();
        let socket = directory.path().display();
        writeln!(
            file,
            "port={port}\nlisten_addresses='127.0.0.1'\nunix_socket_directories='{socket}'"
        )
        .unwrap();
        writeln!(
            file,
            "fsync=off\nsynchronous_commit=off\nfull_page_writes=off\nmax_connections=200"
        )
        .unwrap();
        for setting in settings {
            writeln!(file, "{setting}").unwrap();
        }
        own(directory.path());
        let programs = programs.to_owned();
        Server { programs, directory, port, child: None, network: None, language: "en" }
    }

    /// Starts it and waits until it takes logins.
    pub fn run(&mut self) {
        self.launch();
        wait_for("PostgreSQL takes logins", || self.try_psql("postgres", "SELECT 1").ok());
    }

    /// Starts it and waits for nothing.
    pub fn launch(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join("log"))
            .unwrap();
        let mut command = as_postgres(&self.programs.join("postgres"));
        if let Some(namespace) = &self.network {
            command = within(namespace, &command);
        }
        command
            .env("LANGUAGE", self.language)
            .arg("-D")
            .arg(self.data())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.child = Some(spawn(command.stdin(Stdio::null())));
    }

    /// From its next start on it is in this network namespace; its unix socket is everywhere.
    pub fn move_into(&mut self, namespace: &Path) {
        self.network = Some(namespace.to_owned());
    }

    /// Stops it at once, as a crash would.
    pub fn crash(&mut self) {
        self.end(&["-m", "immediate", "-w", "stop"]);
    }

    /// Stops it in an orderly way.
    pub fn stop(&mut self) {
        self.end(&["-m", "fast", "-w", "stop"]);
    }

    fn end(&mut self, how: &[&str]) {
        if self.child.is_some() {
            self.thaw();
        }
        if let Some(mut child) = self.child.take() {
            self.control(how);
            let _ = process::wait_or_kill(&mut child);
        }
    }

    fn control(&self, arguments: &[&str]) {
        let mut command = as_postgres(&self.programs.join("pg_ctl"));
        command.arg("-D").arg(self.data()).args(arguments);
        output(&mut command);
    }

    /// Makes it a standby without a primary, from its next start on.
    pub fn follow(&self) {
        fs::write(self.data().join("standby.signal"), "").unwrap();
        own(&self.data());
    }

    /// Makes a standby the primary, and waits until it takes writes.
    pub fn promote(&self) {
        self.control(&["-w", "promote"]);
    }

    /// One more line of `postgresql.conf`; takes effect at the next start or reload.
    pub fn set(&self, line: &str) {
        let file = File::options().append(true).open(self.data().join("postgresql.conf"));
        writeln!(file.unwrap(), "{line}").unwrap();
    }

    /// Reads `postgresql.conf` and `pg_hba.conf` again, and waits until that is done.
    pub fn reload(&self) {
        let loaded = || self.psql("postgres", "SELECT pg_conf_load_time()");
        let before = loaded();
        self.control(&["reload"]);
        wait_for("the server reads its files again", || (loaded() != before).then_some(()));
    }

    /// Stops every process of the server where it stands; connections stay open and silent.
    pub fn freeze(&self) {
        self.signal_all(Signal::SIGSTOP);
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.signal_all(Signal::SIGCONT);
    }

    fn signal_all(&self, signal: Signal) {
        let postmaster = self.child.as_ref().unwrap().id();
        let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
        for pid in format!("{postmaster} {}", children.unwrap()).split_whitespace() {
            let _ = kill(Pid::from_raw(pid.parse().unwrap()), signal);
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The directory of the unix socket.
    pub fn socket(&self) -> &Path {
        self.directory.path()
    }

    /// What the server logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Shows this certificate, `NAME.crt` with its `NAME.key`, from the next start or reload on.
    pub fn certificate(&self, authority: &Authority, name: &str) {
        for extension in ["crt", "key"] {
            let path = self.data().join(format!("server.{extension}"));
            fs::copy(authority.path(&format!("{name}.{extension}")), &path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            own(&path);
        }
    }

    /// Who may log in how: replaces `pg_hba.conf`; takes effect at the next start or reload.
    pub fn hba(&self, lines: &str) {
        fs::write(self.data().join("pg_hba.conf"), lines).unwrap();
        own(&self.data().join("pg_hba.conf"));
    }

    /// `postgres://postgres@127.0.0.1:PORT/NAME`
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// A new database.
    pub fn database(&self) -> Database<'_> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name}"));
        Database { server: self, name }
    }

    /// One that is there already.
    pub fn existing(&self, name: &str) -> Database<'_> {
        Database { server: self, name: name.to_owned() }
    }

    /// Runs SQL over the unix socket; rows in lines, columns parted by `|`.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.try_psql(database, sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}\n{}", self.log()))
    }

    pub fn try_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut command = Command::new(program("psql", "postgresql-client"));
        command
            .env_clear()
            .args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"])
            .arg(self.socket())
            .args(["-p", &self.port.to_string(), "-d", database, "-c", sql]);
        let output = output(&mut command);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}

impl Database<'_> {
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// The same by the unix socket.
    pub fn socket_url(&self) -> String {
        let (name, port) = (&self.name, self.server.port);
        format!(
            "postgres:///{name}?host={}&port={port}&user=postgres",
            self.server.socket().display()
        )
    }

    pub fn psql(&self, sql: &str) -> String {
        self.server.psql(&self.name, sql)
    }

    pub fn has_table(&self, name: &str) -> bool {
        self.psql(&format!("SELECT to_regclass('{name}') IS NOT NULL")) == "t"
    }

    /// A session that stays open, its first statements done.
    pub fn open(&self, sql: &str) -> Open {
        let mut child = Command::new(program("psql", "postgresql-client"))
            .env_clear()
            .args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"])
            .arg(self.server.socket())
            .args(["-p", &self.server.port.to_string(), "-d", &self.name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Printed::by(child.stdout.take().unwrap());
        let mut open = Open { child, output };
        open.send(sql);
        open
    }

    /// How many sessions there are, psql's own aside.
    pub fn sessions(&self) -> usize {
        self.psql(
            "SELECT count(*) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .parse()
        .unwrap()
    }

    /// Schema and data as `pg_dump` prints them, without the lines that differ between two runs.
    pub fn dump(&self) -> String {
        let mut command = Command::new(program("pg_dump", "postgresql-client"));
        command
            .env_clear()
            .args(["--no-owner", "--no-privileges", "-U", "postgres", "-h"])
            .arg(self.server.socket())
            .args(["-p", &self.server.port.to_string(), &self.name]);
        let output = output(&mut command);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// A psql session of the tests' own, which can hold locks.
pub struct Open {
    child: Child,
    output: Printed,
}

impl Open {
    /// Runs statements, waits until they are done, and returns their rows in lines.
    #[track_caller]
    pub fn send(&mut self, sql: &str) -> String {
        assert!(sql.ends_with(';'), "psql waits for the rest of: {sql}");
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{sql}\n\\echo -done-").unwrap();
        let mut rows = Vec::new();
        loop {
            let line = self.output.line_within(PATIENCE);
            let line =
                line.unwrap_or_else(|| panic!("psql ended, or {sql} does not end: {rows:?}"));
            if line == "-done-" {
                return rows.join("\n");
            }
            rows.push(line);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        process::kill_family(&mut self.child);
    }
}

/// The same command in a network namespace.
fn within(namespace: &Path, command: &Command) -> Command {
    let mut entering = Command::new(program("nsenter", "util-linux"));
    entering.arg(format!("--net={}", namespace.display())).arg("--").arg(command.get_program());
    entering.args(command.get_args()).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
    entering
}

/// From a thread that lives as long as the test process; test threads end with their test.
pub(super) fn spawn(command: &mut Command) -> Child {
    type Order = (Command, mpsc::Sender<Child>);
    static KEEPER: OnceLock<std::sync::Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn().unwrap());
            }
        });
        std::sync::Mutex::new(orders)
    });
    let (reply, child) = mpsc::channel();
    let command = std::mem::replace(command, Command::new("true"));
    keeper.lock().unwrap().send((command, reply)).unwrap();
    child.recv_timeout(PATIENCE).unwrap()
}

/// A directory for a server. Statics are never dropped, and neither is anything of a run that was killed, so
/// the directories of processes that have ended are removed here.
pub(super) fn place() -> TempDir {
    const PREFIX: &str = "premain-pg-";
    static SWEPT: Once = Once::new();
    SWEPT.call_once(|| {
        for entry in fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
            let process = process.and_then(|(process, _)| process.parse::<u32>().ok());
            if process.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    });
    let prefix = format!("{PREFIX}{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir().unwrap()
}

/// `initdb` once, copies from then on.
fn copy_template(data: &Path) {
    static TEMPLATE: OnceLock<TempDir> = OnceLock::new();
    let template = TEMPLATE.get_or_init(|| {
        let directory = place();
        initdb(programs(), &directory.path().join("data"));
        directory
    });
    copy(&template.path().join("data"), data);
}

fn initdb(programs: &Path, data: &Path) {
    let directory = data.parent().unwrap();
    own(directory);
    let password = directory.join("password");
    fs::write(&password, PASSWORD).unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = as_postgres(&programs.join("initdb"));
    command
        .args(["--no-sync", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"])
        .arg(format!("--pwfile={}", password.display()))
        .arg("-D")
        .arg(data);
    let output = output(&mut command);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Whether the port takes connections.
pub fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}
