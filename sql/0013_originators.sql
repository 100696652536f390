-- Who makes events, so that places in a mail are dealt in turns (model/originator.rs says what the numbers stand for). Runs within the
-- transaction of the migration, like every script after the first.
ALTER TABLE event ADD COLUMN originator INTEGER;                 -- NULL in events of before
ALTER TABLE event ADD COLUMN part INTEGER;

-- In a row both stand behind what may be a line of 64 KiB: what is dealt by them is read from the index.
DROP INDEX event_channel;
CREATE INDEX event_channel ON event (channel, seq, category, severity, originator, part);

-- What may be mailed at once is looked for at each step of the reporter, and may wait behind many other events.
CREATE INDEX event_urgent ON event (channel, seq, category, kind, area, originator, part, source) WHERE severity >= 70;

-- Whose urgent events reports of the last hours have told of (UrgentKey).
CREATE TABLE urgent_told (
    channel TEXT    NOT NULL,
    scope   INTEGER NOT NULL,
    detail  INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (channel, at, scope, detail)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 13;
