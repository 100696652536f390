-- Watched processes: which one each was, and what was told of it. Runs within the transaction of the migration, like every script
-- after the first.

CREATE TABLE process_watch (
    source       BLOB    NOT NULL,                                    -- the path of a PID file, or the name of a unit
    container    BLOB    NOT NULL,                                    -- empty for the host
    process      BLOB,                                                -- canonical bytes; NULL when none was ever seen
    liveness     INTEGER NOT NULL CHECK (liveness BETWEEN 1 AND 4),   -- 1 running, 2 zombie, 3 first thread ended, 4 gone
    fault        INTEGER,                                             -- what is wrong with the PID file
    fault_detail INTEGER,
    storm_first  INTEGER NOT NULL,                                    -- restarts that follow one another closely
    storm_last   INTEGER NOT NULL,
    restarts     INTEGER NOT NULL,
    untold_since INTEGER NOT NULL,
    untold       INTEGER NOT NULL,
    since        INTEGER NOT NULL,                                    -- since when it is so
    PRIMARY KEY (source, container)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 7;
