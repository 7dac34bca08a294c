DROP TRIGGER threads_search_vector_trigger ON "threads";
DROP FUNCTION update_threads_search_vector();

-- DropIndex
DROP INDEX "ix_threads_search_vector";

-- AlterTable
ALTER TABLE "threads" DROP COLUMN "search_vector";
