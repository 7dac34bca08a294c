-- Second half: what takes as long as the table is large, while readers and writers go on.
-- Until now the keys were kept in the metadata.
UPDATE abilities
SET dynamic_header_keys = metadata -> 'dynamic_header_keys',
    dynamic_headers_required = metadata -> 'dynamic_header_keys' <> '[]'
WHERE jsonb_typeof(metadata -> 'dynamic_header_keys') = 'array'
  AND dynamic_header_keys = '[]';

ALTER TABLE abilities
    VALIDATE CONSTRAINT abilities_embedding_is_3072_numbers,
    VALIDATE CONSTRAINT abilities_dynamic_header_keys_is_array;
