-- The first schema: resources, what changed, and whose they are.

-- How many steps the database took; one row.
CREATE TABLE schema_version (version integer NOT NULL);

-- Whose the resources are; one row.
CREATE TABLE store_identity (
    mode text NOT NULL,
    zone text,
    cluster_id text NOT NULL
);

-- The revision of the last commit; one row. Whoever writes locks it, so that the order of revisions is that of commits.
CREATE TABLE store_revision (
    revision bigint NOT NULL,
    write_id bigint NOT NULL
);
INSERT INTO store_revision (revision, write_id) VALUES (0, 0);

CREATE TABLE resources (
    kind text COLLATE "C" NOT NULL,
    mesh text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    labels text NOT NULL,
    spec bytea NOT NULL,
    status bytea,
    owner_kind text,
    owner_mesh text,
    owner_name text,
    created text NOT NULL,
    modified text NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (kind, mesh, name)
);

-- Each commit of the last minutes. A store that knows one of them goes on from there; any other reads everything.
CREATE TABLE commits (
    revision bigint PRIMARY KEY,
    write_id bigint NOT NULL,
    at timestamp with time zone NOT NULL
);
INSERT INTO commits (revision, write_id, at) VALUES (0, 0, clock_timestamp());

-- What they changed, in order. A deletion has no content.
CREATE TABLE changes (
    revision bigint NOT NULL,
    position integer NOT NULL,
    kind text NOT NULL,
    mesh text NOT NULL,
    name text NOT NULL,
    labels text,
    spec bytea,
    status bytea,
    owner_kind text,
    owner_mesh text,
    owner_name text,
    created text,
    modified text,
    PRIMARY KEY (revision, position)
);

-- Secrets are sealed under data keys, and these by a key that is not in here.
CREATE TABLE data_keys (
    id bigint PRIMARY KEY,
    sealed_by text NOT NULL,
    sealed bytea NOT NULL
);
