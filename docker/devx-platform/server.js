// The API of the DevX Platform, as small as it can be: PostgreSQL with a fallback in memory, Redis
// beside it. It applies no migrations and waits for nobody: what starts it has done that.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { createClient } from '@redis/client';
import pg from 'pg';

const { env } = process;
const FALLBACK = [{ name: 'REST API' }];

const pool = new pg.Pool({
  host: env.POSTGRES_HOST,
  port: Number(env.POSTGRES_PORT ?? 5432),
  database: env.POSTGRES_DB,
  user: env.POSTGRES_USER,
  password: env.POSTGRES_PASSWORD,
  ssl: env.NODE_ENV === 'production' && { ca: readFileSync(env.PGSSLROOTCERT, 'utf8') },
  max: 20,
  idleTimeoutMillis: 30_000,
  connectionTimeoutMillis: 2_000,
});
pool.on('error', (error) => console.log(`PostgreSQL: ${error.message}`));

const redis = createClient({ url: env.REDIS_URL });
redis.on('error', (error) => console.log(`Redis: ${error.message}`));
await redis.connect();

const rows = async (sql) => (await pool.query(sql)).rows;
const up = (question) => question.then(() => 'up', () => 'down');

/** What `premain status` says, as it says it. */
function migrations() {
  const options = ['status', '--output', 'json', '--wait-timeout', '2s', '--migrations', 'migrations'];
  return new Promise((resolve, reject) => {
    execFile('/premain', options, (error, output) => (error ? reject(error) : resolve(JSON.parse(output))));
  });
}

const pages = {
  '/health': async () => ({
    status: 'ok',
    postgresql: await up(pool.query('SELECT 1')),
    redis: await up(redis.ping()),
  }),
  '/api/database/status': async () => ({
    pool: { total: pool.totalCount, idle: pool.idleCount },
    tls: (await rows('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()'))[0].ssl,
    ...(await migrations()),
  }),
  '/api/templates': async () => {
    try {
      return { source: 'postgresql', templates: await rows('SELECT name FROM templates.templates ORDER BY name') };
    } catch (error) {
      console.log(`templates out of memory: ${error.message}`);
      return { source: 'memory', templates: FALLBACK };
    }
  },
};

const server = http.createServer(async ({ url }, response) => {
  const answer = (status, body) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
  try {
    answer(url in pages ? 200 : 404, (await pages[url]?.()) ?? { error: 'no such page' });
  } catch (error) {
    answer(503, { error: error.message });
  }
});
server.listen(8080, () => console.log('listening on port 8080'));

process.once('SIGTERM', () => {
  console.log('SIGTERM: finishing what is open');
  server.close(async () => {
    await Promise.allSettled([pool.end(), redis.close()]);
    console.log('bye');
  });
});
