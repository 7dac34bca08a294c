DROP TABLE devx.api_keys;
