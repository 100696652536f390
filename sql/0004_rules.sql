-- How often each rule for log lines was found. Runs within the transaction of the migration, like every script after the first.

-- A rule is its file and its text: line numbers shift when a file is edited.
CREATE TABLE rule_hit (
    file  BLOB    NOT NULL,
    text  BLOB    NOT NULL,
    hits  INTEGER NOT NULL,
    last  INTEGER,                                                    -- of the last hit
    since INTEGER NOT NULL,                                           -- first seen in a rule set that was loaded
    PRIMARY KEY (file, text)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 4;
