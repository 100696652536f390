-- What of the baseline is missing or covered, and since when. Runs within the transaction of the migration, like every script after
-- the first.

-- The topmost entries of a mass removal: their baseline is kept until they are back or the removal is accepted. A row counts only while
-- its entry is marked as gone (`reported` is 32 zero bytes); ids of entries are never used again.
CREATE TABLE missing (
    entry   INTEGER PRIMARY KEY,
    since   INTEGER NOT NULL,                                    -- when they were found missing
    entries INTEGER NOT NULL                                     -- how many went with it, itself included
) STRICT;

-- Since when what belongs at a mount point is covered (`told` is set), and how many entries of the baseline that hides. Without a time,
-- a version before this one has told it.
ALTER TABLE mount ADD COLUMN since INTEGER;
ALTER TABLE mount ADD COLUMN entries INTEGER NOT NULL DEFAULT 0;

PRAGMA user_version = 11;
