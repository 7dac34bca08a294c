CREATE INDEX idx_abilities_service_name ON abilities (service_name);
