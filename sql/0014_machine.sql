-- Which machine a database belongs to. Runs within the transaction of the migration, like every script after the first.
ALTER TABLE instance ADD COLUMN machine BLOB;                    -- digest of its machine-id(5); NULL when none was known

PRAGMA user_version = 14;
