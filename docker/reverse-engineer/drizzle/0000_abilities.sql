CREATE TABLE "abilities" (
	"ability_id" text PRIMARY KEY NOT NULL,
	"vector_id" integer NOT NULL,
	"ability_name" text NOT NULL,
	"service_name" text NOT NULL,
	"description" text NOT NULL,
	"embedding" jsonb NOT NULL,
	"dynamic_header_keys" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"dynamic_headers_required" boolean DEFAULT false NOT NULL,
	"metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"created_at" timestamp DEFAULT now() NOT NULL,
	"updated_at" timestamp DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE INDEX "idx_abilities_service_name" ON "abilities" USING btree ("service_name");--> statement-breakpoint
CREATE INDEX "idx_abilities_dynamic_headers" ON "abilities" USING btree ("dynamic_headers_required");