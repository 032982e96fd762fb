-- The first schema: resources, and numbers about the store as a whole.
CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE resources (
    kind TEXT NOT NULL,
    mesh TEXT NOT NULL,
    name TEXT NOT NULL,
    labels TEXT NOT NULL,
    spec BLOB NOT NULL,
    status BLOB,
    owner_kind TEXT,
    owner_mesh TEXT,
    owner_name TEXT,
    created TEXT NOT NULL,
    modified TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (kind, mesh, name)
) STRICT;
INSERT INTO meta (key, value) VALUES ('version', 0);
