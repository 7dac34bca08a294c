// Test data. Safe to run again, and by several replicas at once: the workflow's unique name decides
// who is first, and only that one goes on.
import { client, db } from './db.js';
import { executions, executionSteps, workflows } from './schema.js';

const seeded = await db.transaction(async (tx) => {
  const [workflow] = await tx.insert(workflows)
    .values({ name: 'My Workflow', nodes: [{ id: '1', type: 'start', data: {} }], edges: [] })
    .onConflictDoNothing()
    .returning();
  if (!workflow) return false;
  const [execution] = await tx.insert(executions)
    .values({ workflowId: workflow.id, status: 'paused', data: { input: 'test data' } })
    .returning();
  await tx.insert(executionSteps).values({ executionId: execution.id, nodeId: '1', status: 'completed' });
  return true;
});
console.log(seeded ? 'seed: planted' : 'seed: there already');
await client.end();
