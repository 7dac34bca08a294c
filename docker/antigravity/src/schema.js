// The source of truth: `npm run db:generate` writes into drizzle/ what changed here.
import { relations, sql } from 'drizzle-orm';
import { index, integer, jsonb, pgEnum, pgTable, serial, text, timestamp } from 'drizzle-orm/pg-core';

export const executionStatus = pgEnum('execution_status', [
  'pending', 'running', 'paused', 'completed', 'failed', 'cancelled',
]);
export const stepStatus = pgEnum('step_status', ['pending', 'running', 'completed', 'failed', 'skipped']);

export const workflows = pgTable('workflows', {
  id: serial('id').primaryKey(),
  name: text('name').notNull().unique(),
  nodes: jsonb('nodes').notNull(),
  edges: jsonb('edges').notNull(),
  updatedAt: timestamp('updated_at', { withTimezone: true }).notNull().defaultNow(),
});

export const executions = pgTable('executions', {
  id: serial('id').primaryKey(),
  workflowId: integer('workflow_id').notNull().references(() => workflows.id, { onDelete: 'cascade' }),
  userId: text('user_id'),
  status: executionStatus('status').notNull().default('pending'),
  data: jsonb('data'),
  startedAt: timestamp('started_at', { withTimezone: true }),
}, (table) => [
  index('executions_workflow_id_idx').on(table.workflowId),
  index('executions_status_idx').on(table.status),
  index('executions_user_id_idx').on(table.userId),
  index('executions_started_at_idx').on(table.startedAt),
  index('executions_paused_idx').on(table.startedAt).where(sql`status = 'paused'`),
]);

export const executionSteps = pgTable('execution_steps', {
  id: serial('id').primaryKey(),
  executionId: integer('execution_id').notNull().references(() => executions.id, { onDelete: 'cascade' }),
  nodeId: text('node_id').notNull(),
  status: stepStatus('status').notNull().default('pending'),
  input: jsonb('input'),
  output: jsonb('output'),
  retries: integer('retries').notNull().default(0),
}, (table) => [
  index('execution_steps_execution_id_idx').on(table.executionId),
  index('execution_steps_node_id_idx').on(table.nodeId),
  index('execution_steps_status_idx').on(table.status),
]);

export const workflowsRelations = relations(workflows, ({ many }) => ({ executions: many(executions) }));
export const executionsRelations = relations(executions, ({ one, many }) => ({
  workflow: one(workflows, { fields: [executions.workflowId], references: [workflows.id] }),
  steps: many(executionSteps),
}));
export const executionStepsRelations = relations(executionSteps, ({ one }) => ({
  execution: one(executions, { fields: [executionSteps.executionId], references: [executions.id] }),
}));
