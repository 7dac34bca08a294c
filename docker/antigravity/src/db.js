import { drizzle } from 'drizzle-orm/postgres-js';
import postgres from 'postgres';
import * as schema from './schema.js';

export const client = postgres(process.env.DATABASE_URL, {
  max: Number(process.env.DB_POOL_SIZE || 10),
  idle_timeout: 20,
  connect_timeout: 10,
});
export const db = drizzle(client, { schema });
