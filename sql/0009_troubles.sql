-- What is wrong at present, beside what other rows say by themselves. A row stands until the trouble ends. Runs within the transaction
-- of the migration, like every script after the first.

CREATE TABLE trouble (
    kind    TEXT    NOT NULL,                                    -- a word of model::health
    subject BLOB    NOT NULL,                                    -- the path, rule set or name it is about; may be empty
    detail  TEXT    NOT NULL,                                    -- more about it, printable
    since   INTEGER NOT NULL,
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 9;
