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

#[test]
fn nothing_pending_is_one_round_trip_and_n_pending_are_n_and_four_at_most() {
    let server = Server::shared();
    let database = server.database();
    let wire = Wire::to(server);
    let url =
        format!("postgres://postgres@127.0.0.1:{}/{}?sslmode=disable", wire.port, database.name);
    let names: Vec<_> =
        (1..=30).map(|n| (format!("V{n}__t{n}.sql"), format!("CREATE TABLE t{n} ()"))).collect();
    let files: Vec<_> = names.iter().map(|(name, sql)| (name.as_str(), sql.as_str())).collect();
    let migrate = |files: &[(&str, &str)]| {
        let place = folder(files);
        migrate(place.path()).database(&url).run().code(0);
        wire.take()
    };

    let (queries, connections) = migrate(&files[..10]);
    assert!(queries <= 10 + 4, "a fresh database, 10 pending: {queries} queries");
    assert_eq!(connections, 1);
    let (queries, _) = migrate(&files);
    assert!(queries <= 20 + 4, "20 pending: {queries} queries");
    assert_eq!(migrate(&files), (1, 1), "nothing pending");
}
