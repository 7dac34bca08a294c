//! Stands between premain and a server, follows the protocol's messages, and breaks one of them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use socket2::SockRef;

use super::postgres::Server;
use super::wait_for;

/// Passes messages on, counts them, and has at most one fault at a time.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    upstream: AtomicU16,
    messages: [AtomicUsize; 2],
    queries: AtomicUsize,
    connections: AtomicUsize,
    /// Bytes that took the place of the server's.
    answered: AtomicUsize,
    fault: Mutex<Option<Fault>>,
    hostility: Mutex<Option<Hostility>>,
    pairs: Mutex<Vec<Weak<Pair>>>,
    /// Connections are taken and dropped.
    away: AtomicBool,
}

/// The side that sends a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    Client,
    Server,
}

/// What happens to one message, the first of which is number 0.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    pub speaker: Speaker,
    pub message: usize,
    pub kind: Kind,
    /// Whether no connection gets through from then on.
    pub stays_away: bool,
}

/// Text in a message of the client, and the answer that takes the place of the server's.
type Hostility = (&'static str, fn(&mut dyn Write) -> std::io::Result<()>);

/// What happens instead of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Both sides see an orderly end.
    Close,
    /// Both sides see a reset.
    Reset,
    /// Half of the message gets through, then both sides see an end.
    Truncate,
    /// Half of the message gets through, then nothing more, and nothing ends.
    Stall,
}

impl Proxy {
    pub fn to(server: &Server) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        state.upstream.store(server.port(), Ordering::SeqCst);
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let upstream = shared.upstream.load(Ordering::SeqCst);
                if shared.away.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)) else { continue };
                // Otherwise each message waits for the answer to the one before.
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let pair = Arc::new(Pair {
                    sides: [client, server],
                    reset: AtomicBool::new(false),
                    unanswered: AtomicUsize::new(0),
                });
                shared.pairs.lock().unwrap().push(Arc::downgrade(&pair));
                for speaker in [Speaker::Client, Speaker::Server] {
                    let link =
                        Link { state: Arc::clone(&shared), pair: Arc::clone(&pair), speaker };
                    std::thread::spawn(move || link.carry());
                }
            }
        });
        Proxy { port, state }
    }

    /// `127.0.0.1:5432`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The address, as a URL of this database; there is no TLS, which would hide the messages.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// The number of queries and connections since the last call.
    pub fn take(&self) -> (usize, usize) {
        let State { queries, connections, .. } = &*self.state;
        (queries.swap(0, Ordering::SeqCst), connections.swap(0, Ordering::SeqCst))
    }

    /// The number of messages that each side has sent since the last call.
    pub fn take_messages(&self) -> [usize; 2] {
        self.state.messages.each_ref().map(|count| count.swap(0, Ordering::SeqCst))
    }

    /// Counts anew, and breaks that message.
    pub fn set(&self, fault: Fault) {
        self.take_messages();
        self.state.away.store(false, Ordering::SeqCst);
        *self.state.fault.lock().unwrap() = Some(fault);
    }

    /// From now on, whenever a message of the client's holds `trigger`, `answer` answers it.
    pub fn answer(&self, trigger: &'static str, answer: fn(&mut dyn Write) -> std::io::Result<()>) {
        *self.state.hostility.lock().unwrap() = Some((trigger, answer));
    }

    /// How many bytes of such answers have been sent.
    pub fn answered(&self) -> usize {
        self.state.answered.load(Ordering::SeqCst)
    }

    /// Whether the fault has not happened yet.
    pub fn is_armed(&self) -> bool {
        self.state.fault.lock().unwrap().is_some()
    }

    /// Ends every connection that there is, in the middle of whatever it does.
    pub fn cut(&self) {
        for pair in self.state.pairs.lock().unwrap().drain(..).filter_map(|pair| pair.upgrade()) {
            pair.close();
        }
    }

    /// No more faults, and no more answers but the server's.
    pub fn heal(&self) {
        *self.state.hostility.lock().unwrap() = None;
        *self.state.fault.lock().unwrap() = None;
        self.state.away.store(false, Ordering::SeqCst);
    }
}

struct Counted<'a>(&'a TcpStream, &'a AtomicUsize);

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.0.write(bytes)?;
        self.1.fetch_add(written, Ordering::SeqCst);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Client and server, in the order of [`Speaker`].
struct Pair {
    sides: [TcpStream; 2],
    reset: AtomicBool,
    /// Statements, and the login, whose answer has not come to its end yet.
    unanswered: AtomicUsize,
}

impl Pair {
    fn close(&self) {
        for side in &self.sides {
            let _ = side.shutdown(Shutdown::Both);
        }
    }
}

/// One direction of one connection.
struct Link {
    state: Arc<State>,
    pair: Arc<Pair>,
    speaker: Speaker,
}

/// What a client's first message holds that asks for TLS.
const SSL_REQUEST: [u8; 4] = [0x04, 0xd2, 0x16, 0x2f];

impl Link {
    fn carry(self) {
        let (from, to) = (self.speaker as usize, 1 - self.speaker as usize);
        let (mut from, mut to) = (&self.pair.sides[from], &self.pair.sides[to]);
        // A client's first message has no kind in front of its length.
        let mut header = if self.speaker == Speaker::Client { vec![0; 4] } else { vec![0; 5] };
        while from.read_exact(&mut header).is_ok() {
            let kind = (header.len() == 5).then(|| header[0]);
            let length = u32::from_be_bytes(header[header.len() - 4..].try_into().unwrap());
            let mut message = header.clone();
            message.resize(header.len() + length as usize - 4, 0);
            if from.read_exact(&mut message[header.len()..]).is_err() {
                break;
            }
            if kind.is_none() && message[4..] == SSL_REQUEST {
                // No TLS: the proxy must read the messages.
                let _ = from.write_all(b"N");
                continue;
            }
            let number = self.state.messages[self.speaker as usize].fetch_add(1, Ordering::SeqCst);
            if let Some(fault) = self.due(number) {
                return self.break_at(fault.kind, to, &message);
            }
            if let Some(answer) = self.hostility(&message) {
                // An error ends a statement for the client before the server has said all of it.
                wait_for("the server's last word to the statement before", || {
                    (self.pair.unanswered.load(Ordering::SeqCst) == 0).then_some(())
                });
                let _ = answer(&mut Counted(from, &self.state.answered));
                return self.pair.close();
            }
            if self.speaker == Speaker::Client && matches!(kind, None | Some(b'Q')) {
                self.pair.unanswered.fetch_add(1, Ordering::SeqCst);
                let queries = usize::from(kind.is_some());
                self.state.queries.fetch_add(queries, Ordering::SeqCst);
            }
            if to.write_all(&message).is_err() {
                break;
            }
            if self.speaker == Speaker::Server && kind == Some(b'Z') {
                self.pair.unanswered.fetch_sub(1, Ordering::SeqCst);
            }
            header.resize(5, 0);
        }
        if !self.pair.reset.load(Ordering::SeqCst) {
            let _ = to.shutdown(Shutdown::Write);
        }
    }

    fn due(&self, number: usize) -> Option<Fault> {
        let mut fault = self.state.fault.lock().unwrap();
        let due = fault.is_some_and(|due| due.speaker == self.speaker && due.message == number);
        let fault = due.then(|| fault.take()).flatten()?;
        self.state.away.store(fault.stays_away, Ordering::SeqCst);
        Some(fault)
    }

    fn hostility(&self, message: &[u8]) -> Option<fn(&mut dyn Write) -> std::io::Result<()>> {
        let (trigger, answer) = (*self.state.hostility.lock().unwrap())?;
        let holds = || message.windows(trigger.len()).any(|part| part == trigger.as_bytes());
        (self.speaker == Speaker::Client && holds()).then_some(answer)
    }

    fn break_at(&self, kind: Kind, mut to: &TcpStream, message: &[u8]) {
        if matches!(kind, Kind::Truncate | Kind::Stall) {
            let _ = to.write_all(&message[..message.len() / 2]);
        }
        let sides = &self.pair.sides;
        match kind {
            Kind::Close | Kind::Truncate => self.pair.close(),
            // The reset is sent when both directions have dropped the sockets; shutdown wakes up the readers.
            Kind::Reset => {
                self.pair.reset.store(true, Ordering::SeqCst);
                for side in sides {
                    let _ = SockRef::from(side).set_linger(Some(Duration::ZERO));
                    let _ = side.shutdown(Shutdown::Read);
                }
            }
            // The client's direction goes on, and notices when the client closes the connection.
            Kind::Stall if self.speaker == Speaker::Server => {}
            // Drops what the client sends until it closes the connection.
            Kind::Stall => {
                let _ = std::io::copy(&mut &sides[0], &mut std::io::sink());
                self.pair.close();
            }
        }
    }
}
