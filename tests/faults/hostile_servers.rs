//! Malicious or broken servers: premain ends with a clear error, within bounded memory and time.
//!
//! No real server does any of this, so the proxy answers in its place.

use std::io::{Read as _, Result, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::postgres::Server;
use crate::support::premain::{Ended, Premain, Running, migrate, premain};
use crate::support::proxy::Proxy;
use crate::support::{directory, wait_for};

/// Text in the first message of a phase; the hostile answer takes the place of the answer to it.
const LOGIN: &str = "user\0";
const READ: &str = "ORDER BY version";
const LOCK: &str = "pg_try_advisory_lock";
const MIGRATION: &str = "CREATE TABLE t ";

/// Kilobytes. More than premain needs, and far less than a hostile server sends.
const MEMORY: usize = 80_000;

/// How premain ends if this answers a message that contains `trigger`.
fn hostile(
    trigger: &'static str,
    answer: fn(&mut dyn Write) -> Result<()>,
    told: fn(Premain) -> Premain,
) -> Ended {
    turned(trigger, answer, told, |_, _| ())
}

fn turned(
    trigger: &'static str,
    answer: fn(&mut dyn Write) -> Result<()>,
    told: fn(Premain) -> Premain,
    meanwhile: impl FnOnce(&mut Running, &Proxy),
) -> Ended {
    let database = Server::shared().database();
    let proxy = Proxy::to(Server::shared());
    proxy.answer(trigger, answer);
    let place = directory(&[("1_t.sql", "CREATE TABLE t ()")]);
    let url = format!("{}&connect_timeout=1", proxy.url(&database.name));
    let premain = migrate(place.path()).words(["--wait-timeout", "2s"]).database(url);
    let mut running = told(premain).start();
    meanwhile(&mut running, &proxy);
    let mut peak = 0;
    wait_for(&format!("it ends, whatever answers {trigger:?}"), || {
        peak = peak.max(running.peak_memory());
        running.has_ended().then_some(())
    });
    assert!(peak < MEMORY, "{peak} kB of memory");
    let ended = running.end();
    assert!(!database.has_table("t"), "{}", ended.log);
    ended
}

fn as_it_is(premain: Premain) -> Premain {
    premain
}

fn send(to: &mut dyn Write, kind: u8, body: &[u8]) -> Result<()> {
    let length = u32::try_from(body.len() + 4).unwrap();
    to.write_all(&[&[kind], &length.to_be_bytes()[..], body].concat())
}

/// An error with a text of a gigabyte.
fn gigabyte(to: &mut dyn Write) -> Result<()> {
    to.write_all(b"E")?;
    to.write_all(&(1_u32 << 30).to_be_bytes())?;
    to.write_all(b"SERROR\0C22012\0M")?;
    loop {
        to.write_all(&[b'x'; 1 << 16])?;
    }
}

fn notices(to: &mut dyn Write) -> Result<()> {
    let mut body = b"SNOTICE\0VNOTICE\0C00000\0M".to_vec();
    body.resize(100_000, b'x');
    body.extend_from_slice(b"\0\0");
    loop {
        send(to, b'N', &body)?;
    }
}

fn notices_behind_the_password(to: &mut dyn Write) -> Result<()> {
    send(to, b'R', &[0; 4])?;
    notices(to)
}

fn rows(to: &mut dyn Write) -> Result<()> {
    send(to, b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0")?;
    let row = [&b"\0\x01\0\x01\x86\xa0"[..], &[b'x'; 100_000]].concat();
    loop {
        send(to, b'D', &row)?;
    }
}

/// Messages whose length is too short, too long or negative.
fn lengths<const LENGTH: i32>(to: &mut dyn Write) -> Result<()> {
    to.write_all(b"R")?;
    to.write_all(&LENGTH.to_be_bytes())?;
    loop {
        to.write_all(&[0; 1 << 16])?;
    }
}

fn garbage(to: &mut dyn Write) -> Result<()> {
    to.write_all(b"\xde\0\0\0\x05\xad\xbe\xef")?;
    loop {
        to.write_all(&[0xbe; 1 << 16])?;
    }
}

fn requests_for_a_password(to: &mut dyn Write) -> Result<()> {
    loop {
        send(to, b'R', &[0, 0, 0, 11, b'r', b'=', b'x'])?;
    }
}

/// A byte a second.
fn slow_loris(to: &mut dyn Write) -> Result<()> {
    for byte in b"E\0\0\x01\0SERROR\0C22012\0Mxxxxxxxxxxxxxxxxxx" {
        to.write_all(&[*byte])?;
        std::thread::park_timeout(Duration::from_secs(1));
    }
    Ok(())
}

#[test]
fn hostile_answers_to_the_login_are_rejected() {
    let protocol = "does not speak PostgreSQL's protocol";
    hostile(LOGIN, gigabyte, as_it_is).code(78).says(protocol).says("a message of 1023 MB");
    hostile(LOGIN, notices_behind_the_password, as_it_is)
        .code(78)
        .says(protocol)
        .says("its answer does not end");
    hostile(LOGIN, lengths::<{ i32::MAX }>, as_it_is).code(78).says("a message of 2047 MB");
    hostile(LOGIN, lengths::<-1>, as_it_is).code(78).says("a negative length");
    hostile(LOGIN, lengths::<3>, as_it_is).code(78).says("a negative length");
    hostile(LOGIN, garbage, as_it_is).code(78).says(protocol);
    hostile(LOGIN, requests_for_a_password, as_it_is).code(78).says("unexpected message");
    hostile(LOGIN, slow_loris, as_it_is).code(69).says("did not answer within 1s");
}

#[test]
fn hostile_answers_to_premains_own_statements_end_with_75() {
    for trigger in [READ, LOCK] {
        let lost = |answer| {
            let ended = hostile(trigger, answer, as_it_is).code(75);
            // premain gives up the third time.
            assert_eq!(ended.lines_with("connecting again"), 2, "{}", ended.log);
            ended
        };
        lost(gigabyte).says("the connection was lost (it sends a message of 1023 MB");
        lost(lengths::<-1>).says("a negative length");
        lost(garbage).says("the connection was lost");
        lost(rows).says("its answer does not end");
        lost(notices).says("its answer does not end");
        hostile(trigger, slow_loris, |premain| premain.words(["--lock-timeout", "1s"]))
            .code(75)
            .says("no answer within 1s");
    }
}

#[test]
fn hostile_answers_to_a_migration_end_with_75() {
    let lost = |answer| {
        let ended = hostile(MIGRATION, answer, as_it_is).code(75);
        ended.says("migration 1_t was interrupted, the connection was lost")
    };
    lost(gigabyte).says("a message of 1023 MB");
    lost(lengths::<3>).says("a negative length");
    lost(garbage);
}

/// Neither the duration of a migration nor the length of its answer is limited.
#[test]
fn a_signal_ends_an_endless_answer_to_a_migration() {
    type Answer = fn(&mut dyn Write) -> Result<()>;
    let answers: [(Answer, usize); 3] = [(rows, 32 << 20), (notices, 32 << 20), (slow_loris, 2)];
    for (answer, bytes) in answers {
        let stop = |running: &mut Running, proxy: &Proxy| {
            wait_for("it listens", || (proxy.answered() >= bytes).then_some(()));
            running.signal(Signal::SIGTERM);
        };
        turned(MIGRATION, answer, as_it_is, stop).code(143);
    }
}

/// Answers the login of each client with this, and sends on what the client then says.
fn asks(answer: &'static [u8]) -> (u16, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.read(&mut [0; 1000]);
            let _ = client.write_all(answer);
            let mut said = Vec::new();
            let _ = client.read_to_end(&mut said);
            let _ = sender.send(said);
        }
    });
    (port, receiver)
}

#[test]
fn a_server_that_asks_for_the_password_in_another_way_does_not_get_it() {
    for (asked, allowed) in [
        (&b"R\0\0\0\x08\0\0\0\x03"[..], "scram-sha-256"),
        (b"R\0\0\0\x08\0\0\0\x03", "!password"),
        (b"R\0\0\0\x0c\0\0\0\x05salt", "scram-sha-256"),
        (b"R\0\0\0\x08\0\0\0\0", "scram-sha-256,md5"),
        (b"R\0\0\0\x17\0\0\0\nSCRAM-SHA-256\0\0", "md5"),
    ] {
        let (port, said) = asks(asked);
        let url = format!("postgres://postgres@127.0.0.1:{port}/d?sslmode=disable");
        for variable in [false, true] {
            let premain = match variable {
                true => premain(["wait"]).database(&url).env("PGREQUIREAUTH", allowed),
                false => premain(["wait"]).database(format!("{url}&require_auth={allowed}")),
            };
            premain.run().code(78).says(&format!("require_auth={allowed} does not allow"));
            assert_eq!(said.recv().unwrap(), b"");
        }
    }
}
