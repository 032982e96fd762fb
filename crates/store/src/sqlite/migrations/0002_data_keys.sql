-- Secrets are sealed under data keys, and these by a key that is not in here.
CREATE TABLE data_keys (id INTEGER NOT NULL PRIMARY KEY, sealed_by TEXT NOT NULL, sealed BLOB NOT NULL) STRICT;
