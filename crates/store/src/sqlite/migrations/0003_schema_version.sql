-- How many steps the file took, and whose the resources are; one row each. The number in `meta` stays for older programs:
-- it is what makes them refuse the file.
CREATE TABLE schema_version (version INTEGER NOT NULL) STRICT;
CREATE TABLE store_identity (mode TEXT NOT NULL, zone TEXT, cluster_id TEXT NOT NULL) STRICT;
