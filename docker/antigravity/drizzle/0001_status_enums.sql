CREATE TYPE "public"."execution_status" AS ENUM('pending', 'running', 'completed', 'failed', 'cancelled');--> statement-breakpoint
CREATE TYPE "public"."step_status" AS ENUM('pending', 'running', 'completed', 'failed', 'skipped');--> statement-breakpoint
ALTER TABLE "execution_steps" ALTER COLUMN "status" SET DEFAULT 'pending'::"public"."step_status";--> statement-breakpoint
ALTER TABLE "execution_steps" ALTER COLUMN "status" SET DATA TYPE "public"."step_status" USING "status"::"public"."step_status";--> statement-breakpoint
ALTER TABLE "executions" ALTER COLUMN "status" SET DEFAULT 'pending'::"public"."execution_status";--> statement-breakpoint
ALTER TABLE "executions" ALTER COLUMN "status" SET DATA TYPE "public"."execution_status" USING "status"::"public"."execution_status";--> statement-breakpoint
CREATE INDEX "execution_steps_execution_id_idx" ON "execution_steps" USING btree ("execution_id");--> statement-breakpoint
CREATE INDEX "execution_steps_node_id_idx" ON "execution_steps" USING btree ("node_id");--> statement-breakpoint
CREATE INDEX "execution_steps_status_idx" ON "execution_steps" USING btree ("status");--> statement-breakpoint
CREATE INDEX "executions_workflow_id_idx" ON "executions" USING btree ("workflow_id");--> statement-breakpoint
CREATE INDEX "executions_status_idx" ON "executions" USING btree ("status");--> statement-breakpoint
CREATE INDEX "executions_user_id_idx" ON "executions" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "executions_started_at_idx" ON "executions" USING btree ("started_at");