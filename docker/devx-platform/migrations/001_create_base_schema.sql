-- What the platform began with. Safe on a database that has it already.
CREATE SCHEMA IF NOT EXISTS devx;
CREATE SCHEMA IF NOT EXISTS templates;
CREATE EXTENSION IF NOT EXISTS "uuid-ossp" SCHEMA public;

CREATE OR REPLACE FUNCTION devx.touch_updated_at() RETURNS trigger AS $$
BEGIN
    NEW.updated_at := CURRENT_TIMESTAMP;
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TABLE IF NOT EXISTS devx.users (
    id         uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
    email      varchar(255) UNIQUE NOT NULL,
    name       varchar(255) NOT NULL,
    created_at timestamptz DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE IF NOT EXISTS templates.categories (
    id   uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
    name varchar(100) UNIQUE NOT NULL
);

CREATE TABLE IF NOT EXISTS templates.templates (
    id          uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
    name        varchar(255) UNIQUE NOT NULL,
    category_id uuid REFERENCES templates.categories (id),
    metadata    jsonb DEFAULT '{}',
    created_at  timestamptz DEFAULT CURRENT_TIMESTAMP,
    updated_at  timestamptz DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE IF NOT EXISTS devx.projects (
    id         uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
    name       varchar(255) NOT NULL,
    user_id    uuid NOT NULL REFERENCES devx.users (id),
    settings   jsonb DEFAULT '{}',
    created_at timestamptz DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE IF NOT EXISTS devx.services (
    id            uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
    name          varchar(255) NOT NULL,
    slug          varchar(255) UNIQUE NOT NULL,
    template_id   uuid REFERENCES templates.templates (id),
    user_id       uuid NOT NULL REFERENCES devx.users (id),
    project_id    uuid REFERENCES devx.projects (id),
    service_type  varchar(50) NOT NULL DEFAULT 'api',
    status        varchar(50) DEFAULT 'inactive',
    configuration jsonb DEFAULT '{}',
    created_at    timestamptz DEFAULT CURRENT_TIMESTAMP,
    updated_at    timestamptz DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX IF NOT EXISTS idx_services_user_id ON devx.services (user_id);

DO $$
DECLARE
    touched regclass;
BEGIN
    FOREACH touched IN ARRAY '{devx.users, devx.projects, devx.services, templates.templates}'::regclass[] LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS touch_updated_at ON %s', touched);
        EXECUTE format('CREATE TRIGGER touch_updated_at BEFORE UPDATE ON %s '
            'FOR EACH ROW EXECUTE FUNCTION devx.touch_updated_at()', touched);
    END LOOP;
END;
$$;

INSERT INTO templates.categories (name) VALUES ('Backend') ON CONFLICT DO NOTHING;
INSERT INTO templates.templates (name, category_id)
SELECT 'REST API', id FROM templates.categories WHERE name = 'Backend' ON CONFLICT DO NOTHING;
