-- Who makes events, so that places in a mail are dealt in turns (model/originator.rs says what the numbers stand for). Runs within the
-- transaction of the migration, like every script after the first.
ALTER TABLE event ADD COLUMN originator INTEGER;                 -- NULL in events of before
ALTER TABLE event ADD COLUMN part INTEGER;

-- What may be mailed at once is looked for at each step of the reporter, and may wait behind many other events.
CREATE INDEX event_urgent ON event (channel, seq) WHERE severity >= 70;

PRAGMA user_version = 13;
