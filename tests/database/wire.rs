//! How many round trips migrating costs, counted on the wire.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::folder;
use crate::support::postgres::Server;
use crate::support::premain::migrate;

/// Passes everything on, and counts the queries that pass: a round trip each.
struct Wire {
    port: u16,
    queries: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Wire {
    fn to(server: &Server) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (queries, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let wire =
            Wire { port, queries: Arc::clone(&queries), connections: Arc::clone(&connections) };
        let upstream = server.port();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                connections.fetch_add(1, Ordering::SeqCst);
                let server = TcpStream::connect(("127.0.0.1", upstream)).unwrap();
                let (answers, back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || copy(answers, back));
                let queries = Arc::clone(&queries);
                std::thread::spawn(move || count(client, server, &queries));
            }
        });
        wire
    }

    /// The number of queries and connections since the last call.
    fn take(&self) -> (usize, usize) {
        (self.queries.swap(0, Ordering::SeqCst), self.connections.swap(0, Ordering::SeqCst))
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
}

/// Reads the client's messages one by one: first the start-up message, which has no type.
fn count(mut from: TcpStream, mut to: TcpStream, queries: &AtomicUsize) {
    let mut header = vec![0; 4];
    loop {
        if from.read_exact(&mut header).is_err() {
            let _ = to.shutdown(std::net::Shutdown::Write);
            return;
        }
        let kind = (header.len() == 5).then(|| header[0]);
        let length = u32::from_be_bytes(header[header.len() - 4..].try_into().unwrap());
        let mut body = vec![0; length as usize - 4];
        from.read_exact(&mut body).unwrap();
        if kind == Some(b'Q') {
            queries.fetch_add(1, Ordering::SeqCst);
        }
        to.write_all(&header).unwrap();
        to.write_all(&body).unwrap();
        header.resize(5, 0);
    }
}

/// The first `count` migrations of a folder in this format.
fn migrations(format: &str, count: usize) -> tempfile::TempDir {
    let name = |n: usize| match format {
        "refinery" => format!("V{n}__t{n}.sql"),
        "sql" => format!("{n}_t{n}.sql"),
        "drizzle" => format!("{n:04}_t{n}.sql"),
        "sqlx" | "dbmate" | "goose" => format!("{n:04}_t{n}.sql"),
        "golang-migrate" => format!("{n}_t{n}.up.sql"),
        "flyway" => format!("V{n}__t{n}.sql"),
        _ => format!("202401010000{n:02}_t{n}/migration.sql"),
    };
    let before = match format {
        "dbmate" => "-- migrate:up\n",
        "goose" => "-- +goose Up\n",
        _ => "",
    };
    let mut files: Vec<_> =
        (1..=count).map(|n| (name(n), format!("{before}CREATE TABLE t{n} ()"))).collect();
    match format {
        "drizzle" => {
            let entries = (1..=count).map(|n| format!(r#"{{"when": {n}, "tag": "{n:04}_t{n}"}}"#));
            let entries = entries.collect::<Vec<_>>().join(",");
            files.push(("meta/_journal.json".to_owned(), format!(r#"{{"entries": [{entries}]}}"#)));
        }
        "drizzle1" => files.push(("20240101000001_t1/snapshot.json".to_owned(), String::new())),
        _ => {}
    }
    let files: Vec<_> = files.iter().map(|(name, sql)| (name.as_str(), sql.as_str())).collect();
    folder(&files)
}

#[test]
fn nothing_pending_is_one_round_trip_and_n_pending_are_n_and_four_at_most() {
    let server = Server::shared();
    let wire = Wire::to(server);
    for format in [
        "refinery",
        "sql",
        "drizzle",
        "drizzle1",
        "prisma",
        "sqlx",
        "dbmate",
        "golang-migrate",
        "goose",
    ] {
        let database = server.database();
        let url = format!(
            "postgres://postgres@127.0.0.1:{}/{}?sslmode=disable",
            wire.port, database.name
        );
        let apply = |count: usize| {
            let place = migrations(format, count);
            migrate(place.path())
                .words(["--format", format])
                .database(&url)
                .run()
                .code(0)
                .says(&format!("({format}, {count} files)"));
            wire.take()
        };
        let (queries, connections) = apply(10);
        assert!(queries <= 10 + 4, "{format}, a fresh database, 10 pending: {queries} queries");
        assert_eq!(connections, 1);
        let (queries, _) = apply(30);
        assert!(queries <= 20 + 4, "{format}, 20 pending: {queries} queries");
        assert_eq!(apply(30), (1, 1), "{format}, nothing pending");
    }
}
