-- The instances that work with the database: who was heard when, and which one leads.

-- Each says again and again that it is there; one that was not heard for the length of a lease is gone.
CREATE TABLE instances (
    name text PRIMARY KEY,
    -- Chosen by the process, so that two of one name are not taken for one.
    life bigint NOT NULL,
    -- Where the others reach it.
    inter_cp text,
    -- The last revision with keys in it that it has taken over.
    keys bigint NOT NULL,
    -- The session on which it was heard. That of the leader holds the lock of leaders.
    backend integer NOT NULL,
    heartbeat timestamp with time zone NOT NULL
);

-- A new leader has a higher epoch. Whoever writes as a leader compares it under the lock of this row.
ALTER TABLE store_revision ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
ALTER TABLE store_revision ADD COLUMN leader text;
