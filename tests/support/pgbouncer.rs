//! PgBouncer in front of a server of the tests.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::postgres::{Database, Server, listens, spawn};
use super::programs::{as_postgres, own};
use super::{process, program, wait_for};

/// A pooler that ends with its test.
pub struct PgBouncer {
    directory: TempDir,
    port: u16,
    child: Child,
}

impl PgBouncer {
    /// In this `pool_mode`, with these settings (`name=value`).
    pub fn before(server: &Server, mode: &str, settings: &[&str]) -> PgBouncer {
        let directory = tempfile::Builder::new().prefix("premain-pgbouncer-").tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let users = directory.path().join("users.txt");
        fs::write(&users, "\"postgres\" \"\"\n").unwrap();
        let configuration = directory.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n\
             [pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir=\n\
             auth_type=trust\nauth_file={}\npool_mode={mode}\n{}\n",
            server.port(),
            users.display(),
            settings.join("\n")
        );
        fs::write(&configuration, text).unwrap();
        own(directory.path());
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let mut command = as_postgres(&program("pgbouncer", "pgbouncer"));
        command.arg(&configuration).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = spawn(&mut command);
        wait_for("PgBouncer takes connections", || listens(port).then_some(()));
        PgBouncer { directory, port, child }
    }

    pub fn url(&self, database: &Database<'_>) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{}", self.port, database.name)
    }

    /// A client that runs `sql` through the pool for as long as its input lasts.
    pub fn client(&self, database: &Database<'_>) -> Command {
        let mut command = Command::new(program("psql", "postgresql-client"));
        command.env_clear().args(["-XqAt", "-U", "postgres", "-h", "127.0.0.1", "-p"]);
        command.arg(self.port.to_string()).args(["-d", &database.name]);
        command
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        process::kill_family(&mut self.child);
    }
}
