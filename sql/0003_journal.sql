-- How far the journal was read. Runs within the transaction of the migration.
-- By hand: (echo 'BEGIN;'; cat sql/0003_journal.sql; echo 'COMMIT;') | sqlite3 -bail FILE

-- One row for each group that reads the journal.
CREATE TABLE journal_position (
    grp             BLOB    PRIMARY KEY,
    place           INTEGER NOT NULL CHECK (place BETWEEN 1 AND 3), -- 1 never read, 2 what is written since realtime, 3 behind cursor
    cursor          BLOB,                                           -- of the last entry, when place is 3
    realtime        INTEGER,                                        -- of the last entry, or of the first look
    obstacle        INTEGER,                                        -- why it is not read
    obstacle_detail INTEGER,
    obstacle_since  INTEGER,
    obstacle_told   INTEGER
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 3;
