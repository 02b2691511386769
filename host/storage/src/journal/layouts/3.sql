-- Layout 3: operations on volumes, one row an id. The columns are for people and queries; `record` is the
-- whole, as JSON, of the format that `format` says; `zeroed` is newer than the record's.
CREATE TABLE volume_operation (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,
    volume     TEXT NOT NULL,
    lv         TEXT,
    course     TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    zeroed     INTEGER NOT NULL,
    record     TEXT NOT NULL,
    format     INTEGER NOT NULL
);
