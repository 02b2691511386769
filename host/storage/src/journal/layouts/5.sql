-- Layout 5: what instances had when their volumes were detached. The columns are for people and queries; `record` is the whole, as
-- JSON, of the format that `format` says.
CREATE TABLE last_use (
    lv       TEXT NOT NULL,
    instance TEXT NOT NULL,
    at_ms    INTEGER NOT NULL,
    record   TEXT NOT NULL,
    format   INTEGER NOT NULL,
    PRIMARY KEY (lv, instance)
);
