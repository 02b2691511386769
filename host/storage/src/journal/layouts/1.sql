-- Layout 1. The columns are for people and queries; `record` is the whole, as JSON.
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT INTO counter VALUES ('sequence', 0);

CREATE TABLE attachment (
    lv            TEXT NOT NULL,
    instance      TEXT NOT NULL,
    volume        TEXT NOT NULL,
    instance_name TEXT NOT NULL,
    sharing       TEXT NOT NULL,
    access        TEXT NOT NULL,
    state         TEXT NOT NULL,
    since_ms      INTEGER NOT NULL,
    record        TEXT NOT NULL,
    PRIMARY KEY (lv, instance)
);

CREATE TABLE journal (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    request    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    state      TEXT NOT NULL,
    instance   TEXT,
    boot_id    TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    causes     TEXT NOT NULL,
    record     TEXT NOT NULL
);
CREATE INDEX journal_by_request ON journal (request);
CREATE INDEX journal_by_instance ON journal (instance);
CREATE INDEX journal_open ON journal (state) WHERE state = 'open';

CREATE TABLE step (
    entry INTEGER NOT NULL REFERENCES journal (id) ON DELETE CASCADE,
    n     INTEGER NOT NULL,
    what  TEXT NOT NULL,
    mark  TEXT NOT NULL,
    PRIMARY KEY (entry, n)
);

CREATE TABLE journal_volume (
    entry INTEGER NOT NULL REFERENCES journal (id) ON DELETE CASCADE,
    lv    TEXT NOT NULL,
    name  TEXT NOT NULL
);
CREATE INDEX journal_by_volume ON journal_volume (lv);
CREATE INDEX journal_volume_entry ON journal_volume (entry);
