-- Layout 4: attachments whose I/O is cut off. The columns are for people and queries; `record` is the whole, as
-- JSON, of the format that `format` says.
CREATE TABLE fence (
    lv       TEXT NOT NULL,
    instance TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    record   TEXT NOT NULL,
    format   INTEGER NOT NULL,
    PRIMARY KEY (lv, instance)
);
