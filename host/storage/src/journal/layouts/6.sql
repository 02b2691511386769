-- Layout 6: what this node wrote last into each pool's registry. The columns are for people and queries; `record` is the whole, as
-- JSON, of the format that `format` says.
CREATE TABLE last_write (
    vg         TEXT NOT NULL PRIMARY KEY,
    generation INTEGER NOT NULL,
    sequence   INTEGER NOT NULL,
    at_ms      INTEGER NOT NULL,
    record     TEXT NOT NULL,
    format     INTEGER NOT NULL
);
