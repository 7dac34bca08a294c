import { boolean, index, integer, jsonb, pgTable, text, timestamp } from 'drizzle-orm/pg-core';

export const abilities = pgTable('abilities', {
  ability_id: text('ability_id').primaryKey(),
  vector_id: integer('vector_id').notNull(),
  ability_name: text('ability_name').notNull(),
  service_name: text('service_name').notNull(),
  description: text('description').notNull(),
  embedding: jsonb('embedding').$type<number[]>().notNull(), // 3072 numbers
  dynamic_header_keys: jsonb('dynamic_header_keys').$type<string[]>().notNull().default([]),
  dynamic_headers_required: boolean('dynamic_headers_required').notNull().default(false),
  metadata: jsonb('metadata').$type<Record<string, unknown>>().notNull().default({}),
  created_at: timestamp('created_at').notNull().defaultNow(),
  updated_at: timestamp('updated_at').notNull().defaultNow(),
}, (table) => [
  index('idx_abilities_service_name').on(table.service_name),
  index('idx_abilities_dynamic_headers').on(table.dynamic_headers_required),
]);
