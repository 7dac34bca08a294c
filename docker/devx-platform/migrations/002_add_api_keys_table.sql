CREATE TABLE devx.api_keys (
    id         uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
    user_id    uuid NOT NULL REFERENCES devx.users (id) ON DELETE CASCADE,
    name       varchar(255) NOT NULL,
    key_hash   varchar(255) UNIQUE NOT NULL,
    expires_at timestamptz,
    created_at timestamptz DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX idx_api_keys_user_id ON devx.api_keys (user_id);
