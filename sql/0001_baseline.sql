-- The shape of the database. Numbered, only ever added to; PRAGMA user_version holds the last number.
-- Times are INTEGER nanoseconds UTC (wall_*, checked) or since boot (boottime_*); unsigned 64-bit numbers are stored
-- as the INTEGER with the same bits. By hand: sqlite3 FILE < sql/0001_baseline.sql

PRAGMA journal_mode = WAL;

BEGIN IMMEDIATE;

-- One row: who this database is, where its chain stands, and when it was last alive.
CREATE TABLE instance (
    only            INTEGER PRIMARY KEY CHECK (only = 1),
    uuid            BLOB    NOT NULL CHECK (length(uuid) = 16),
    created         INTEGER NOT NULL,
    head            BLOB    NOT NULL CHECK (length(head) = 32),  -- hash of the last event
    seq             INTEGER NOT NULL,                            -- number of the last event
    visit           INTEGER NOT NULL,                            -- visit counter: orders looks, whatever the clocks do
    next_entry      INTEGER NOT NULL,                            -- entry ids are handed out in blocks
    looks           INTEGER NOT NULL,                            -- looks so far
    bytes           INTEGER NOT NULL,                            -- bytes read so far
    alive_wall      INTEGER NOT NULL,
    alive_boottime  INTEGER NOT NULL,
    alive_boot      BLOB    NOT NULL CHECK (length(alive_boot) = 16),
    clean           INTEGER NOT NULL CHECK (clean IN (0, 1))     -- whether the last stop was one
) STRICT;

CREATE TABLE area (
    id         INTEGER PRIMARY KEY,
    path       BLOB    NOT NULL UNIQUE,
    state      INTEGER NOT NULL CHECK (state BETWEEN 1 AND 5),   -- 1 learning, 2 watched, 3 missing, 4 suspended, 5 not configured
    was        INTEGER NOT NULL CHECK (was IN (1, 2)),           -- learning or watched, before it was missing or left out
    rounds     INTEGER NOT NULL,                                 -- complete rounds
    started    INTEGER,                                          -- begin of the current round
    dev        INTEGER,                                          -- identity of the root, evidence for "replaced"
    inode      INTEGER,
    boot       BLOB,                                             -- the boot in which dev was seen; device numbers may change with it
    attributes INTEGER NOT NULL,                                 -- attribute set last configured
    algorithms INTEGER NOT NULL                                  -- digests last configured
) STRICT;

-- The baseline. (parent, name) is the identity; no path is stored whole but the roots'.
CREATE TABLE entry (
    id          INTEGER PRIMARY KEY,
    parent      INTEGER NOT NULL,                                -- 0 for the root of an area
    name        BLOB    NOT NULL,
    area        INTEGER NOT NULL REFERENCES area (id),
    visit       INTEGER NOT NULL,                                -- of the last look; the smallest has waited longest
    checked     INTEGER NOT NULL,
    kind        INTEGER NOT NULL,
    perms       INTEGER NOT NULL,
    uid         INTEGER NOT NULL,
    gid         INTEGER NOT NULL,
    nlink       INTEGER NOT NULL,
    dev         INTEGER NOT NULL,
    inode       INTEGER NOT NULL,
    rdev        INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    mtime       INTEGER NOT NULL,
    ctime       INTEGER NOT NULL,
    btime       INTEGER,
    target      BLOB,
    xattrs      BLOB,
    recorded    INTEGER NOT NULL,                                -- which attributes are known; others are learned, not compared
    hash_state  INTEGER NOT NULL,                                -- 0 off, 1 full, 2 partial, 3 busy, 4 too big, 5 unreadable
    hash_number INTEGER NOT NULL,                                -- bytes of a partial one, errno of an unreadable one
    blake3      BLOB,
    sha256      BLOB,
    sha512      BLOB,
    reported    BLOB,                                            -- digest of a reported state that was not accepted
    UNIQUE (parent, name)
) STRICT;

CREATE INDEX entry_stalest ON entry (area, visit);

-- What was found. `canonical` is the event; the other columns only help to find it.
CREATE TABLE event (
    seq       INTEGER PRIMARY KEY,
    format    INTEGER NOT NULL,                                  -- version of the canonical bytes
    channel   TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    category  INTEGER NOT NULL,
    severity  INTEGER NOT NULL,
    area      BLOB    NOT NULL,
    source    BLOB    NOT NULL,
    wall      INTEGER NOT NULL,
    canonical BLOB    NOT NULL,
    prev_hash BLOB    NOT NULL CHECK (length(prev_hash) = 32),
    hash      BLOB    NOT NULL CHECK (length(hash) = 32)         -- BLAKE3(prev_hash || canonical)
) STRICT;

CREATE INDEX event_channel ON event (channel, seq);
CREATE INDEX event_wall ON event (wall);

-- The single objects a summary event stands for; the event holds a digest over them.
CREATE TABLE event_member (
    seq    INTEGER NOT NULL REFERENCES event (seq),
    n      INTEGER NOT NULL,
    source BLOB    NOT NULL,
    old    BLOB    NOT NULL,
    PRIMARY KEY (seq, n)
) STRICT, WITHOUT ROWID;

-- How far each channel has been made into reports, and since when it holds off.
CREATE TABLE channel (
    name             TEXT    PRIMARY KEY,
    seq              INTEGER NOT NULL,
    batched_wall     INTEGER,
    batched_boottime INTEGER,
    batched_boot     BLOB
) STRICT, WITHOUT ROWID;

-- Reports as they are sent: fixed bytes under a fixed Message-ID.
CREATE TABLE report (
    id            INTEGER PRIMARY KEY,
    message_id    TEXT    NOT NULL UNIQUE,
    channel       TEXT    NOT NULL,
    severity      INTEGER NOT NULL,
    subject       TEXT    NOT NULL,
    part          INTEGER NOT NULL,
    parts         INTEGER NOT NULL,
    superseded_by INTEGER REFERENCES report (id),
    bytes         BLOB    NOT NULL,
    created       INTEGER NOT NULL,
    first_seq     INTEGER NOT NULL,
    last_seq      INTEGER NOT NULL
) STRICT;

CREATE TABLE report_event (
    report INTEGER NOT NULL REFERENCES report (id),
    seq    INTEGER NOT NULL REFERENCES event (seq),
    PRIMARY KEY (report, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX report_event_seq ON report_event (seq);

CREATE TABLE delivery (
    report        INTEGER NOT NULL REFERENCES report (id),
    recipient     TEXT    NOT NULL,
    state         INTEGER NOT NULL CHECK (state BETWEEN 1 AND 4), -- 1 queued, 2 sent, 3 parked, 4 superseded
    attempts      INTEGER NOT NULL,
    refusals      INTEGER NOT NULL,                               -- how many of them were permanent refusals
    due_wall      INTEGER NOT NULL,
    due_boottime  INTEGER NOT NULL,
    due_boot      BLOB    NOT NULL CHECK (length(due_boot) = 16),
    nominal       INTEGER NOT NULL,                               -- length of the current wait
    failing_since INTEGER,                                        -- wall time of the first failed attempt
    refused_since INTEGER,                                        -- and of the first of the latest run of refusals
    last_reply    TEXT    NOT NULL,
    settled       INTEGER,                                        -- wall time of the final answer
    PRIMARY KEY (report, recipient)
) STRICT, WITHOUT ROWID;

CREATE INDEX delivery_queued ON delivery (report) WHERE state = 1;

PRAGMA user_version = 1;

COMMIT;
