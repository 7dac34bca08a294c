-- Changes the live table, first half: what needs its exclusive lock, for an instant only.
-- A constant default rewrites no row, and NOT VALID reads none.
ALTER TABLE abilities
    ADD COLUMN dynamic_header_keys jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN dynamic_headers_required boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT abilities_embedding_is_3072_numbers CHECK (
        CASE jsonb_typeof(embedding) WHEN 'array' THEN jsonb_array_length(embedding) = 3072 ELSE false END
    ) NOT VALID,
    ADD CONSTRAINT abilities_dynamic_header_keys_is_array CHECK (
        jsonb_typeof(dynamic_header_keys) = 'array'
    ) NOT VALID;
