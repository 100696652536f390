-- Access control lists, capabilities, labels, other extended attributes and inode flags are recorded from here on. Runs within the
-- transaction of the migration, like every script after the first.

ALTER TABLE entry ADD COLUMN flags INTEGER;                            -- inode flags, bits of statx(2); NULL where none are told

-- Areas were noted as if these were known. Taken out (bits 12 to 16), they are learned by the next round, with one notice an area.
UPDATE area SET attributes = attributes & ~126976;

PRAGMA user_version = 5;
