-- Which mails of our own were handed over, so that what a mail server logs about them is known for ours. Runs within the transaction of
-- the migration, like every script after the first.

-- One row for each attempt to hand a mail over by SMTP or a sendmail program; the last thousand of a week.
CREATE TABLE own_mail (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id TEXT    NOT NULL,                                 -- with the angle brackets; empty when a server was only greeted
    sender     TEXT    NOT NULL,
    recipient  TEXT    NOT NULL,
    begun      INTEGER NOT NULL,
    ended      INTEGER                                           -- NULL while it is being handed over, and after a crash
) STRICT;

-- The numbers under which mail servers of this machine keep these mails, from their replies and their logs.
CREATE TABLE own_queue_id (
    mail     INTEGER NOT NULL REFERENCES own_mail (id),
    queue_id TEXT    NOT NULL,
    until    INTEGER,                                            -- when the server was done with it; the number may be used again
    PRIMARY KEY (mail, queue_id)
) STRICT, WITHOUT ROWID;

-- Of the lines that were read, those that were not reported because our own mails caused them.
ALTER TABLE lines_read ADD COLUMN own_mail INTEGER NOT NULL DEFAULT 0;

PRAGMA user_version = 10;
