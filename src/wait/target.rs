//! Checks once whether a target is ready.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::pace::Pace;
use super::settings::{HttpUrl, Target};
use super::verdict::{Failure, Verdict, of_attempt};
use crate::database::{ConnectError, Database, Host, dial, probe, reason, tls};
use crate::exit::Exit;

/// The timeout of one attempt.
const ATTEMPT: Duration = Duration::from_secs(5);

/// What the target is called in messages.
pub(crate) fn name(target: &Target) -> String {
    match target {
        Target::Tcp { host, port } => {
            format!("tcp://{}", Host::new(host, *port))
        }
        Target::Http(url) => url.to_string(),
        Target::Unix(path) => format!("unix://{}", path.display()),
        Target::File(path) => format!("file://{}", path.display()),
        Target::Postgres(database) => format!("PostgreSQL ({})", database.origin),
        Target::PostgresServer { host, port } => {
            format!("PostgreSQL at {}", Host::new(host, *port))
        }
    }
}

/// Makes one attempt.
///
/// # Errors
/// Why the target is not ready.
pub(crate) async fn check_once(target: &Target) -> Result<(), Failure> {
    let check = async {
        match target {
            Target::Tcp { host, port } => tcp(host, *port).await.map(drop),
            Target::Http(url) => http(url).await,
            Target::Unix(path) => {
                UnixStream::connect(path).await.map(drop).map_err(|error| not_ready(&error))
            }
            Target::File(path) => {
                std::fs::metadata(path).map(drop).map_err(|error| not_ready(&error))
            }
            Target::Postgres(database) => {
                probe(database).await.map_err(|errors| of_attempt(&errors))
            }
            Target::PostgresServer { host, port } => server(host, *port).await,
        }
    };
    let outcome = tokio::time::timeout(ATTEMPT, check).await;
    outcome.unwrap_or_else(|_| Err(Failure::no_answer("no answer")))
}

const NOT_RUNNING: &str = "is it running, and is its address right?";

fn not_ready(error: &std::io::Error) -> Failure {
    Failure::retry(reason(error), NOT_RUNNING)
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, Failure> {
    dial(host, port).await.map_err(|errors| {
        let mut reasons: Vec<_> = errors
            .iter()
            .map(|error| match error {
                ConnectError::Dial { source, .. } => reason(source),
                error => error.to_string(),
            })
            .collect();
        reasons.dedup();
        Failure::retry(reasons.join(", "), NOT_RUNNING)
    })
}

/// Like `pg_isready`: every answer except "starting up" means ready, even a rejected login.
async fn server(host: &str, port: u16) -> Result<(), Failure> {
    let database = Database::for_probe(Host::new(host, port));
    let Err(errors) = probe(&database).await else { return Ok(()) };
    let failure = of_attempt(&errors);
    let answered = errors.iter().any(|error| match error {
        ConnectError::Server { .. } => !matches!(failure.verdict, Verdict::Retry(_)),
        ConnectError::Impossible { .. } => true,
        _ => false,
    });
    if answered { Ok(()) } else { Err(failure) }
}

/// Sends a GET; the target is ready if the status is 2xx or 3xx.
async fn http(url: &HttpUrl) -> Result<(), Failure> {
    let stream = tcp(&url.host, url.port).await?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: premain/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        url.path,
        url.authority(),
        env!("CARGO_PKG_VERSION"),
    );
    let first = if url.tls {
        let unverified = |error: tls::TlsError| Failure {
            reason: error.to_string(),
            verdict: Verdict::Final(Exit::Config),
            remedy: "https:// verifies the certificate; use tcp:// to wait for the port alone",
        };
        let handshake = tls::https(stream, &url.host).map_err(unverified)?;
        match handshake.await {
            Ok(stream) => exchange(stream, &request).await,
            // A server that closes the connection during the handshake may still be starting.
            Err(error) => match tls::TlsError::from_io(&error) {
                Some(error) => return Err(unverified(error)),
                None => Err(error),
            },
        }
    } else {
        exchange(stream, &request).await
    };
    match status(&first.map_err(|error| not_ready(&error))?) {
        Some(200..=399) => Ok(()),
        Some(code) => Err(Failure {
            reason: format!("it answers with status {code}"),
            verdict: Verdict::Retry(Pace::Gentle),
            remedy: "2xx or 3xx is needed",
        }),
        None => Err(Failure::retry("what answers there does not speak HTTP", "is the port right?")),
    }
}

/// Sends the request, and reads as much of the status line as is needed.
async fn exchange(
    mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin,
    request: &str,
) -> std::io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes()).await?;
    let mut first = Vec::with_capacity(STATUS_LINE);
    while first.len() < STATUS_LINE && stream.read_buf(&mut first).await? > 0 {}
    Ok(first)
}

/// The length of `HTTP/1.1 200`.
const STATUS_LINE: usize = 12;

fn status(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line.get(..STATUS_LINE)?).ok()?;
    line.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::status;

    #[test]
    fn only_a_status_line_has_a_status() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 503 No"), Some(503));
        for other in [&b"HTTP/1.1 20"[..], b"SSH-2.0-OpenSSH", b"", b"HTTP/1.1 abc "] {
            assert_eq!(status(other), None);
        }
    }
}
