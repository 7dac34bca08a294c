-- Abilities, mirrored from the vector database for relational queries and as a backup.
CREATE TABLE abilities (
    ability_id   text PRIMARY KEY,
    vector_id    integer NOT NULL,
    ability_name text NOT NULL,
    service_name text NOT NULL,
    description  text NOT NULL,
    embedding    jsonb NOT NULL,
    metadata     jsonb NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE abilities IS 'One row per ability; the vector database is the primary storage.';
COMMENT ON COLUMN abilities.embedding IS 'Array of 3072 numbers.';
