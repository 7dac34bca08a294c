//! The reference application: the Reverse Engineer's abilities over HTTP, in dual storage.
//!
//! The primary store (in memory here, where the original asks its vector database) always answers.
//! PostgreSQL is the second one, where `DATABASE_URL` is set; without it, or while it is down, the
//! application goes on. It knows nothing of premain: it opens a port, and leaves on SIGTERM.
//!
//! ```text
//! GET  /health                 what is up
//! GET  /abilities[?service=x]  without the embeddings
//! POST /abilities              store one
//! ```

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_postgres::{Client, NoTls};

const BODY_LIMIT: usize = 1 << 20;
const EMBEDDING_LENGTH: usize = 3072;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::var("PORT").map_or(Ok(8080), |port| port.parse())?;
    let store = Arc::new(Store::from_env()?);
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let connections = GracefulShutdown::new();

    println!("listening on port {port}, pid {}", std::process::id());
    loop {
        tokio::select! {
            accepted = listener.accept() => serve(accepted?.0, &store, &connections),
            _ = terminate.recv() => break,
        }
    }
    drop(listener);
    println!("SIGTERM: finishing {} open connection(s)", connections.count());
    connections.shutdown().await;
    println!("bye");
    Ok(())
}

/// Answers one connection's requests, in the background.
fn serve(stream: TcpStream, store: &Arc<Store>, connections: &GracefulShutdown) {
    let store = Arc::clone(store);
    let service = service_fn(move |request| {
        let store = Arc::clone(&store);
        async move { Ok::<_, Infallible>(answer(request, &store).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            println!("a connection broke: {error}");
        }
    });
}

async fn answer(request: Request<Incoming>, store: &Store) -> Response<Full<Bytes>> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/health") => (StatusCode::OK, store.health().await),
        (&Method::GET, "/abilities") => {
            let service = request.uri().query().and_then(|query| parameter(query, "service"));
            (StatusCode::OK, store.list(service.as_deref()).await)
        }
        (&Method::POST, "/abilities") => match ability(request.into_body()).await {
            Ok(ability) => (StatusCode::CREATED, store.put(ability).await),
            Err(error) => (StatusCode::BAD_REQUEST, json!({ "error": error.to_string() })),
        },
        _ => (StatusCode::NOT_FOUND, json!({ "error": "no such page" })),
    };
    let mut response = Response::new(Full::from(format!("{body}\n")));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}

/// The value of `name` in a query string.
fn parameter(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

async fn ability(body: Incoming) -> Result<Ability, Box<dyn Error + Send + Sync>> {
    let body = Limited::new(body, BODY_LIMIT).collect().await?.to_bytes();
    let ability: Ability = serde_json::from_slice(&body)?;
    if ability.embedding.len() != EMBEDDING_LENGTH {
        return Err(format!(
            "embedding: {EMBEDDING_LENGTH} numbers, not {}",
            ability.embedding.len()
        )
        .into());
    }
    Ok(ability)
}

#[derive(Deserialize, Serialize)]
#[expect(clippy::struct_field_names, reason = "the columns' names")]
struct Ability {
    ability_id: String,
    ability_name: String,
    service_name: String,
    description: String,
    #[serde(skip_serializing)]
    embedding: Vec<f64>,
    #[serde(default)]
    dynamic_header_keys: Vec<String>,
    #[serde(default)]
    metadata: serde_json::Map<String, Value>,
}

/// Dual storage: what is stored here is in the first store, and in the second if that is possible.
struct Store {
    primary: Mutex<BTreeMap<String, Ability>>,
    database: Option<Database>,
}

impl Store {
    fn from_env() -> Result<Self, tokio_postgres::Error> {
        let url = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty());
        let database = url.map(|url| Database::new(&url)).transpose()?;
        Ok(Self { primary: Mutex::default(), database })
    }

    async fn health(&self) -> Value {
        let postgresql = match &self.database {
            None => "not configured",
            Some(database) if database.client().await.is_some() => "up",
            Some(_) => "down",
        };
        json!({ "status": "ok", "postgresql": postgresql })
    }

    /// From PostgreSQL where possible: it has what was stored before this process started.
    async fn list(&self, service: Option<&str>) -> Value {
        if let Some(database) = &self.database
            && let Some(abilities) = database.list(service).await
        {
            return abilities;
        }
        let primary = self.primary.lock().unwrap_or_else(PoisonError::into_inner);
        primary
            .values()
            .filter(|a| service.is_none_or(|s| a.service_name == s))
            .map(|a| json!(a))
            .collect()
    }

    async fn put(&self, ability: Ability) -> Value {
        let mut stored = vec!["primary"];
        if let Some(database) = &self.database
            && database.put(&ability).await
        {
            stored.push("postgresql");
        }
        let id = ability.ability_id.clone();
        println!("stored {id} in {}", stored.join(" and "));
        self.primary.lock().unwrap_or_else(PoisonError::into_inner).insert(id, ability);
        json!({ "stored": stored })
    }
}

/// PostgreSQL, connected when it is needed, and again when that connection was lost.
struct Database {
    config: tokio_postgres::Config,
    client: tokio::sync::Mutex<Option<Arc<Client>>>,
}

impl Database {
    fn new(url: &str) -> Result<Self, tokio_postgres::Error> {
        let mut config: tokio_postgres::Config = url.parse()?;
        config.connect_timeout(CONNECT_TIMEOUT).application_name("abilities");
        Ok(Self { config, client: tokio::sync::Mutex::default() })
    }

    /// A live connection, or none and a line about it.
    async fn client(&self) -> Option<Arc<Client>> {
        let mut client = self.client.lock().await;
        if client.as_ref().is_none_or(|client| client.is_closed()) {
            *client = self.connect().await.map_err(complain).ok();
        }
        client.clone()
    }

    async fn connect(&self) -> Result<Arc<Client>, tokio_postgres::Error> {
        let (client, connection) = self.config.connect(NoTls).await?;
        tokio::spawn(async move { connection.await.map_err(complain) });
        Ok(Arc::new(client))
    }

    /// Every column but the large one, those that later migrations add included.
    async fn list(&self, service: Option<&str>) -> Option<Value> {
        const LIST: &str = "
            SELECT coalesce(jsonb_agg(to_jsonb(a) - 'embedding' ORDER BY ability_id), '[]')::text
            FROM abilities a WHERE $1::text IS NULL OR service_name = $1";
        let row = self.client().await?.query_one(LIST, &[&service]).await;
        let text: String = row.and_then(|row| row.try_get(0)).map_err(complain).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Whether PostgreSQL has it now.
    async fn put(&self, ability: &Ability) -> bool {
        const PUT: &str = "
            INSERT INTO abilities (ability_id, vector_id, ability_name, service_name, description,
                embedding, dynamic_header_keys, dynamic_headers_required, metadata)
            VALUES ($1, hashtext($1), $2, $3, $4,
                $5::text::jsonb, $6::text::jsonb, $6::text::jsonb <> '[]', $7::text::jsonb)
            ON CONFLICT (ability_id) DO UPDATE SET ability_name = excluded.ability_name,
                service_name = excluded.service_name, description = excluded.description,
                embedding = excluded.embedding, dynamic_header_keys = excluded.dynamic_header_keys,
                dynamic_headers_required = excluded.dynamic_headers_required,
                metadata = excluded.metadata, updated_at = now()";
        let Some(client) = self.client().await else {
            return false;
        };
        let embedding = json!(ability.embedding).to_string();
        let keys = json!(ability.dynamic_header_keys).to_string();
        let metadata = json!(ability.metadata).to_string();
        let (id, name) = (&ability.ability_id, &ability.ability_name);
        let (service, description) = (&ability.service_name, &ability.description);
        client
            .execute(PUT, &[id, name, service, description, &embedding, &keys, &metadata])
            .await
            .map_err(complain)
            .is_ok()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn complain(error: tokio_postgres::Error) {
    match error.as_db_error() {
        Some(refusal) => println!("PostgreSQL refused: {refusal}"),
        None => println!("PostgreSQL is not reachable: {error}"),
    }
}
