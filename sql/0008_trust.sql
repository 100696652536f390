-- What it takes to be trusted: where the chain begins, what we are made of, what recurs, and what was spooled. Runs within the
-- transaction of the migration, like every script after the first.

-- One row once events were pruned: the newest event that is gone, so that the chain is still whole from the next one on.
CREATE TABLE checkpoint (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    seq  INTEGER NOT NULL,
    hash BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- What we are made of, as it was when a daemon last looked: the program, the effective configuration, the unit.
CREATE TABLE self_watch (
    name   TEXT    PRIMARY KEY,
    digest BLOB    NOT NULL CHECK (length(digest) = 32),
    detail BLOB    NOT NULL,                                     -- what to compare a new one with, in words
    since  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What comes again and again: how often it came, and when it came last.
CREATE TABLE recurring (
    name     TEXT    PRIMARY KEY,
    number   INTEGER NOT NULL,
    wall     INTEGER NOT NULL,
    boottime INTEGER NOT NULL,
    boot     BLOB    NOT NULL CHECK (length(boot) = 16)
) STRICT, WITHOUT ROWID;

-- What was counted when it came last, so that the next one tells what was done between.
CREATE TABLE recurring_mark (
    recurring TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    value     INTEGER NOT NULL,
    PRIMARY KEY (recurring, name)
) STRICT, WITHOUT ROWID;

-- Lines of logs that were read since the database was made.
CREATE TABLE lines_read (
    only  INTEGER PRIMARY KEY CHECK (only = 1),
    lines INTEGER NOT NULL
) STRICT;

-- Tasks that stand still, and since when; emptied at each start.
CREATE TABLE standstill (
    task  TEXT    PRIMARY KEY,
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Which reports are young: to find out must not mean to read all mails.
CREATE INDEX report_created ON report (created, first_seq);

-- Whether an undelivered report was also put into the local mailbox.
ALTER TABLE delivery ADD COLUMN spooled INTEGER NOT NULL DEFAULT 0 CHECK (spooled IN (0, 1));

-- Wall time from which on a delivery that fails is trouble: one outage is told once.
ALTER TABLE delivery ADD COLUMN troubled INTEGER;
-- The greatest number a report ever had: none is used twice, also when the last ones are gone or an older copy was put back.
ALTER TABLE instance ADD COLUMN last_report INTEGER NOT NULL DEFAULT 0;

PRAGMA user_version = 8;
