// The Neuroagent's new backend, as small as it can be: threads, their messages, full-text search.
import http from 'node:http';
import pg from 'pg';

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
pool.on('error', (error) => console.log(`PostgreSQL: ${error.message}`));

const pages = {
  '/health': () => pool.query('SELECT 1 AS up'),
  '/threads': () =>
    pool.query('SELECT thread_id, title, count(message_id)::int AS messages FROM threads LEFT JOIN messages USING (thread_id) GROUP BY 1 ORDER BY 1'),
  '/search': (q) =>
    pool.query("SELECT title, content FROM messages m JOIN threads t USING (thread_id) WHERE m.search_vector @@ plainto_tsquery('english', $1)", [q]),
};

const server = http.createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://host');
  const answer = (status, body) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
  if (!pages[pathname]) return answer(404, { error: 'no such page' });
  try {
    answer(200, (await pages[pathname](searchParams.get('q'))).rows);
  } catch (error) {
    answer(503, { error: error.message });
  }
});
server.listen(8080, () => console.log('listening on port 8080'));

process.once('SIGTERM', () => {
  console.log('SIGTERM: finishing what is open');
  server.close(() => pool.end().then(() => console.log('bye')));
});
