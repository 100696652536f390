-- What was mounted within the areas when their baseline was learned. Runs within the transaction of the migration, like every script
-- after the first.

CREATE TABLE mount (
    area INTEGER NOT NULL REFERENCES area (id),
    path BLOB    NOT NULL,                                       -- the mount point as the walk meets it; that of the area itself is always there
    home BLOB    NOT NULL,                                       -- type, source and directory, joined by NUL; empty for no mount
    told BLOB,                                                   -- what was found and told in its place; NULL while it is at home
    PRIMARY KEY (area, path)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 6;
