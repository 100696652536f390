-- How many entries the first round over an area will meet. Runs within the transaction of the migration, like every script after the first.
ALTER TABLE area ADD COLUMN expected INTEGER;                    -- by counting before it began; NULL when it is over or not known

PRAGMA user_version = 12;
