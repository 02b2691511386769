PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT INTO counter VALUES('sequence',1);
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
INSERT INTO journal VALUES(1,'452868eb-1e48-475f-a436-851f981c5b10','attach','open','11111111-2222-3333-4444-000000000001','n1-boot-1',1700000000000,'[]','{"id":0,"request":"452868eb-1e48-475f-a436-851f981c5b10","kind":"attach","boot_id":"n1-boot-1","started_ms":1700000000000,"instance":"11111111-2222-3333-4444-000000000001","volumes":[{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000007","pool":"san","name":"a"},{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000009","pool":"san","name":"b"}],"steps":[{"step":{"step":"lease","pool":"san","volumes":[{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000007","pool":"san","name":"a"},{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000009","pool":"san","name":"b"}],"mode":"exclusive"},"undo":[{"step":"release","pool":"san","volumes":[{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000007","pool":"san","name":"a"},{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000009","pool":"san","name":"b"}]}]},{"step":{"step":"disable-autoactivation","pool":"san","volumes":[{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000007","pool":"san","name":"a"},{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000009","pool":"san","name":"b"}]},"undo":[]},{"step":{"step":"publish","pool":"san","attachments":[{"volume":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000007","instance":"11111111-2222-3333-4444-000000000001","node":"n1","sharing":"exclusive","access":"read-write","since_ms":1700000000000,"state":"attached"},{"volume":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000009","instance":"11111111-2222-3333-4444-000000000001","node":"n1","sharing":"exclusive","access":"read-write","since_ms":1700000000000,"state":"attached"}]},"undo":[{"step":"withdraw","pool":"san","attachments":[{"volume":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000007","instance":"11111111-2222-3333-4444-000000000001"},{"volume":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000009","instance":"11111111-2222-3333-4444-000000000001"}]}]},{"step":{"step":"look-again","expectations":[{"volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000007","pool":"san","name":"a"},"size":2097152,"home":{"state":"pool","generation":0},"shareable":false,"others":[],"lease":"exclusive","own_host_id":1},{"volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000009","pool":"san","name":"b"},"size":2097152,"home":{"state":"pool","generation":0},"shareable":false,"others":[],"lease":"exclusive","own_host_id":1}]},"undo":[]},{"step":{"step":"make-copy","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000007","pool":"san","name":"a"},"local":"nvme-n1","size":2097152,"metadata":4194304},"undo":[{"step":"remove-copy","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000007","pool":"san","name":"a"},"local":"nvme-n1"}]},{"step":{"step":"zero-metadata","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000007","pool":"san","name":"a"},"local":"nvme-n1"},"undo":[]},{"step":{"step":"set-home","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000007","pool":"san","name":"a"},"from_generation":0,"to":{"split":"n1"},"local":"nvme-n1"},"undo":[{"step":"set-home","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000007","pool":"san","name":"a"},"from_generation":1,"to":"pool","local":"nvme-n1"}]},{"step":{"step":"load-clone","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000007","pool":"san","name":"a"},"local":"nvme-n1","size":4096,"geometry":{"region":128,"threshold":16,"batch":16},"hydrating":true},"undo":[{"step":"unload-clone","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000007","pool":"san","name":"a"}}]},{"step":{"step":"await-hydration","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000007","pool":"san","name":"a"}},"undo":[]},{"step":{"step":"make-copy","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000009","pool":"san","name":"b"},"local":"nvme-n1","size":2097152,"metadata":4194304},"undo":[{"step":"remove-copy","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000009","pool":"san","name":"b"},"local":"nvme-n1"}]},{"step":{"step":"zero-metadata","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000009","pool":"san","name":"b"},"local":"nvme-n1"},"undo":[]},{"step":{"step":"set-home","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000009","pool":"san","name":"b"},"from_generation":0,"to":{"split":"n1"},"local":"nvme-n1"},"undo":[{"step":"set-home","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000009","pool":"san","name":"b"},"from_generation":1,"to":"pool","local":"nvme-n1"}]},{"step":{"step":"load-clone","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000009","pool":"san","name":"b"},"local":"nvme-n1","size":4096,"geometry":{"region":128,"threshold":16,"batch":16},"hydrating":true},"undo":[{"step":"unload-clone","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000009","pool":"san","name":"b"}}]},{"step":{"step":"await-hydration","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000009","pool":"san","name":"b"}},"undo":[]},{"step":{"step":"create-device","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000007","pool":"san","name":"a"},"instance":"11111111-2222-3333-4444-000000000001","on_clone":true,"size":4096,"read_only":false,"discards":false},"undo":[{"step":"remove-device","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000007","pool":"san","name":"a"},"instance":"11111111-2222-3333-4444-000000000001"}]},{"step":{"step":"create-device","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000009","pool":"san","name":"b"},"instance":"11111111-2222-3333-4444-000000000001","on_clone":true,"size":4096,"read_only":false,"discards":false},"undo":[{"step":"remove-device","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000009","pool":"san","name":"b"},"instance":"11111111-2222-3333-4444-000000000001"}]},{"step":{"step":"link","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000007","pool":"san","name":"a"},"instance":"11111111-2222-3333-4444-000000000001"},"undo":[{"step":"unlink","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000007","pool":"san","name":"a"},"instance":"11111111-2222-3333-4444-000000000001"}]},{"step":{"step":"link","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000009","pool":"san","name":"b"},"instance":"11111111-2222-3333-4444-000000000001"},"undo":[{"step":"unlink","volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000009","pool":"san","name":"b"},"instance":"11111111-2222-3333-4444-000000000001"}]}],"commit_at":16,"puts":[{"volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000007","pool":"san","name":"a"},"instance":"11111111-2222-3333-4444-000000000001","instance_name":"guest-1","form":"own","sharing":"exclusive","access":"read-write","copy":{"mode":"before-start","fate":"write-back"},"since_ms":1700000000000,"sequence":1,"boot_id":"n1-boot-1","state":"attached","causes":[]},{"volume":{"id":"000000-0000-0000-0000-0000-0000-000001:000000-0000-0000-0000-0000-0000-000009","pool":"san","name":"b"},"instance":"11111111-2222-3333-4444-000000000001","instance_name":"guest-1","form":"own","sharing":"exclusive","access":"read-write","copy":{"mode":"before-start","fate":"write-back"},"since_ms":1700000000000,"sequence":1,"boot_id":"n1-boot-1","state":"attached","causes":[]}],"removes":[],"write_back":[],"state":"open","marks":["waiting","waiting","waiting","waiting","waiting","waiting","waiting","waiting","waiting","waiting","waiting","waiting","waiting","waiting","waiting","waiting","waiting","waiting"],"causes":[]}');
CREATE TABLE step (
    entry INTEGER NOT NULL REFERENCES journal (id) ON DELETE CASCADE,
    n     INTEGER NOT NULL,
    what  TEXT NOT NULL,
    mark  TEXT NOT NULL,
    PRIMARY KEY (entry, n)
);
INSERT INTO step VALUES(1,0,'lease exclusive and activate san/a, san/b','done');
INSERT INTO step VALUES(1,1,'switch autoactivation off for san/a, san/b','done');
INSERT INTO step VALUES(1,2,'publish 2 attachment(s) in the registry of san','done');
INSERT INTO step VALUES(1,3,'look again under the lease at san/a, san/b','done');
INSERT INTO step VALUES(1,4,'make a copy of san/a (2 MiB) in nvme-n1','done');
INSERT INTO step VALUES(1,5,'zero the clone metadata of san/a','done');
INSERT INTO step VALUES(1,6,'set the home of san/a to split on n1','done');
INSERT INTO step VALUES(1,7,'load the clone of san/a, hydrating','done');
INSERT INTO step VALUES(1,8,'wait until san/a is hydrated','done');
INSERT INTO step VALUES(1,9,'make a copy of san/b (2 MiB) in nvme-n1','done');
INSERT INTO step VALUES(1,10,'zero the clone metadata of san/b','done');
INSERT INTO step VALUES(1,11,'set the home of san/b to split on n1','done');
INSERT INTO step VALUES(1,12,'load the clone of san/b, hydrating','done');
INSERT INTO step VALUES(1,13,'wait until san/b is hydrated','done');
INSERT INTO step VALUES(1,14,'make a read-write device of san/a for 11111111-2222-3333-4444-000000000001, on the clone','done');
INSERT INTO step VALUES(1,15,'make a read-write device of san/b for 11111111-2222-3333-4444-000000000001, on the clone','done');
INSERT INTO step VALUES(1,16,'publish /dev/volward/11111111-2222-3333-4444-000000000001/san/a','done');
INSERT INTO step VALUES(1,17,'publish /dev/volward/11111111-2222-3333-4444-000000000001/san/b','waiting');
CREATE TABLE journal_volume (
    entry INTEGER NOT NULL REFERENCES journal (id) ON DELETE CASCADE,
    lv    TEXT NOT NULL,
    name  TEXT NOT NULL
);
INSERT INTO journal_volume VALUES(1,'000000-0000-0000-0000-0000-0000-000007','san/a');
INSERT INTO journal_volume VALUES(1,'000000-0000-0000-0000-0000-0000-000009','san/b');
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('journal',1);
CREATE INDEX journal_by_request ON journal (request);
CREATE INDEX journal_by_instance ON journal (instance);
CREATE INDEX journal_open ON journal (state) WHERE state = 'open';
CREATE INDEX journal_by_volume ON journal_volume (lv);
CREATE INDEX journal_volume_entry ON journal_volume (entry);
PRAGMA user_version = 1;
COMMIT;
