-- How far logs were read. Runs within the transaction of the migration, like every script after the first.
-- By hand: (echo 'BEGIN;'; cat sql/0002_logs.sql; echo 'COMMIT;') | sqlite3 -bail FILE

-- When a group of logs was last polled and stored: a file that was born later is read from its beginning.
CREATE TABLE log_group (
    name   BLOB    PRIMARY KEY,
    polled INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row for each log of each group; the anchor columns are NULL unless position is 3.
CREATE TABLE log_anchor (
    id             INTEGER PRIMARY KEY,
    grp            BLOB    NOT NULL,
    path           BLOB    NOT NULL,
    position       INTEGER NOT NULL CHECK (position BETWEEN 1 AND 3), -- 1 never seen, 2 from the beginning, 3 from the anchor
    dev            INTEGER,
    inode          INTEGER,
    born           INTEGER,
    owner          INTEGER,
    length         INTEGER,
    offset         INTEGER,                                           -- after the last whole line
    taken          INTEGER,                                           -- seen up to here, by half a line
    head           BLOB,                                              -- the first bytes
    marker         BLOB,                                              -- the last bytes before taken
    target         BLOB,                                              -- where a symbolic link points
    refusal        INTEGER,                                           -- why it is not read
    refusal_detail INTEGER,
    refusal_since  INTEGER,
    refusal_told   INTEGER,
    UNIQUE (grp, path)
) STRICT;

-- The rotated files of a log that are accounted for, up to offset.
CREATE TABLE log_sibling (
    log      INTEGER NOT NULL REFERENCES log_anchor (id),
    n        INTEGER NOT NULL,
    standing INTEGER NOT NULL CHECK (standing BETWEEN 1 AND 3),       -- 1 being read, 2 done, 3 copy of the live file
    dev      INTEGER NOT NULL,
    inode    INTEGER NOT NULL,
    born     INTEGER,
    owner    INTEGER NOT NULL,
    length   INTEGER NOT NULL,                                        -- as stored
    offset   INTEGER NOT NULL,                                        -- in the decompressed stream
    taken    INTEGER NOT NULL,
    head     BLOB    NOT NULL,
    marker   BLOB    NOT NULL,
    PRIMARY KEY (log, n)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 2;
