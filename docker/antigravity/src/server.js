// The workflow engine's API, as small as it can be. It applies no migrations and waits for nobody:
// what starts it has done that.
import http from 'node:http';
import { desc, sql } from 'drizzle-orm';
import { client, db } from './db.js';
import { workflows } from './schema.js';

const pages = {
  '/health': () => db.execute(sql`SELECT 1 AS up`),
  '/workflows': () => db.query.workflows.findMany({
    orderBy: desc(workflows.updatedAt),
    with: { executions: { limit: 10, with: { steps: true } } },
  }),
};

const server = http.createServer((request, response) => {
  const answer = (status, body) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
  const page = pages[request.url];
  if (!page) return answer(404, { error: 'no such page' });
  page().then((rows) => answer(200, rows), (error) => answer(503, { error: error.message }));
});
server.listen(8080, () => console.log(`listening on port 8080, ${client.options.max} connections at most`));

process.once('SIGTERM', () => {
  console.log('SIGTERM: finishing what is open');
  server.close(() => client.end().then(() => console.log('bye')));
});
