-- CreateSchema
CREATE SCHEMA IF NOT EXISTS "public";

-- CreateEnum
CREATE TYPE "entity" AS ENUM ('USER', 'AI_TOOL', 'TOOL', 'AI_MESSAGE');

-- CreateEnum
CREATE TYPE "task" AS ENUM ('CHAT_COMPLETION', 'TOOL_SELECTION', 'CALL_WITHIN_TOOL');

-- CreateEnum
CREATE TYPE "tokentype" AS ENUM ('INPUT_NONCACHED', 'INPUT_CACHED', 'COMPLETION');

-- CreateEnum
CREATE TYPE "reasoninglevels" AS ENUM ('NONE', 'MINIMAL', 'LOW', 'MEDIUM', 'HIGH');

-- CreateTable
CREATE TABLE "threads" (
    "thread_id" UUID NOT NULL,
    "vlab_id" UUID,
    "project_id" UUID,
    "title" VARCHAR NOT NULL,
    "creation_date" TIMESTAMPTZ(6) NOT NULL,
    "update_date" TIMESTAMPTZ(6) NOT NULL,
    "user_id" UUID NOT NULL,

    CONSTRAINT "threads_pkey" PRIMARY KEY ("thread_id")
);

-- CreateTable
CREATE TABLE "messages" (
    "message_id" UUID NOT NULL,
    "creation_date" TIMESTAMPTZ(6) NOT NULL,
    "content" VARCHAR NOT NULL,
    "thread_id" UUID NOT NULL,
    "entity" "entity" NOT NULL,
    "is_complete" BOOLEAN NOT NULL,
    "search_vector" tsvector,

    CONSTRAINT "messages_pkey" PRIMARY KEY ("message_id")
);

-- CreateTable
CREATE TABLE "tool_calls" (
    "tool_call_id" VARCHAR NOT NULL,
    "name" VARCHAR NOT NULL,
    "arguments" VARCHAR NOT NULL,
    "validated" BOOLEAN,
    "message_id" UUID NOT NULL,

    CONSTRAINT "tool_calls_pkey" PRIMARY KEY ("tool_call_id")
);

-- CreateTable
CREATE TABLE "tool_selection" (
    "id" UUID NOT NULL,
    "tool_name" VARCHAR NOT NULL,
    "message_id" UUID NOT NULL,

    CONSTRAINT "tool_selection_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "complexity_estimation" (
    "id" UUID NOT NULL,
    "complexity" INTEGER,
    "model" VARCHAR NOT NULL,
    "reasoning" "reasoninglevels",
    "message_id" UUID NOT NULL,

    CONSTRAINT "complexity_estimation_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "token_consumption" (
    "id" UUID NOT NULL,
    "message_id" UUID NOT NULL,
    "type" "tokentype" NOT NULL,
    "task" "task" NOT NULL,
    "count" INTEGER NOT NULL,
    "model" VARCHAR NOT NULL,

    CONSTRAINT "token_consumption_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "alembic_version" (
    "version_num" VARCHAR(32) NOT NULL,

    CONSTRAINT "alembic_version_pkc" PRIMARY KEY ("version_num")
);

-- CreateIndex
CREATE INDEX "ix_messages_search_vector" ON "messages" USING GIN ("search_vector");

-- AddForeignKey
ALTER TABLE "messages" ADD CONSTRAINT "messages_thread_id_fkey" FOREIGN KEY ("thread_id") REFERENCES "threads"("thread_id") ON DELETE CASCADE ON UPDATE NO ACTION;

-- AddForeignKey
ALTER TABLE "tool_calls" ADD CONSTRAINT "tool_calls_message_id_fkey" FOREIGN KEY ("message_id") REFERENCES "messages"("message_id") ON DELETE CASCADE ON UPDATE NO ACTION;

-- AddForeignKey
ALTER TABLE "tool_selection" ADD CONSTRAINT "tool_selection_message_id_fkey" FOREIGN KEY ("message_id") REFERENCES "messages"("message_id") ON DELETE CASCADE ON UPDATE NO ACTION;

-- AddForeignKey
ALTER TABLE "complexity_estimation" ADD CONSTRAINT "complexity_estimation_message_id_fkey" FOREIGN KEY ("message_id") REFERENCES "messages"("message_id") ON DELETE CASCADE ON UPDATE NO ACTION;

-- AddForeignKey
ALTER TABLE "token_consumption" ADD CONSTRAINT "token_consumption_message_id_fkey" FOREIGN KEY ("message_id") REFERENCES "messages"("message_id") ON DELETE CASCADE ON UPDATE NO ACTION;

-- What a Prisma schema cannot say, as revision cd5a73ea91db has it
CREATE FUNCTION update_messages_search_vector() RETURNS trigger AS $$
        BEGIN
            NEW.search_vector := to_tsvector('english', coalesce(NEW.content::json ->> 'content', ''));
            RETURN NEW;
        END;
        $$ LANGUAGE plpgsql;

CREATE TRIGGER messages_search_vector_trigger BEFORE INSERT OR UPDATE ON "messages"
FOR EACH ROW EXECUTE FUNCTION update_messages_search_vector();
