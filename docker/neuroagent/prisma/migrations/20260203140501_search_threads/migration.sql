-- AlterTable
ALTER TABLE "threads" ADD COLUMN     "search_vector" tsvector;

-- CreateIndex
CREATE INDEX "ix_threads_search_vector" ON "threads" USING GIN ("search_vector");

-- What a Prisma schema cannot say
CREATE FUNCTION update_threads_search_vector() RETURNS trigger AS $$
BEGIN
    NEW.search_vector := to_tsvector('english', NEW.title);
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER threads_search_vector_trigger BEFORE INSERT OR UPDATE ON "threads"
FOR EACH ROW EXECUTE FUNCTION update_threads_search_vector();

UPDATE "threads" SET "title" = "title";
