CREATE INDEX idx_abilities_dynamic_headers ON abilities (dynamic_headers_required);
