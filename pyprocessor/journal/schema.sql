-- The journal of one output folder. Version: PRAGMA user_version, set by database.py from SCHEMA_VERSION.
-- Paths are BLOBs, as the file system has them. Times are seconds since the epoch, unless the name says otherwise.
-- Nothing here needs SQLite newer than 3.31.

CREATE TABLE runs (
    id                INTEGER PRIMARY KEY,
    arguments         TEXT NOT NULL,
    engine_pid        INTEGER NOT NULL,
    engine_start_time REAL NOT NULL,
    started_at        REAL NOT NULL,
    ended_at          REAL,
    exit_code         INTEGER,
    done_before       INTEGER,           -- files it was asked for that earlier runs had settled
    failed_before     INTEGER
);

-- What inspecting found in a file, so that the next run probes nothing. One row a path, true for that size and mtime.
CREATE TABLE media (
    path     BLOB PRIMARY KEY,
    size     INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    shape    TEXT NOT NULL,   -- fingerprint of the MediaInfo record's fields; another shape is no longer readable
    media    TEXT,            -- JSON, NULL where inspecting failed
    failure  TEXT,
    message  TEXT NOT NULL DEFAULT '',
    CHECK ((media IS NULL) <> (failure IS NULL))
) WITHOUT ROWID;

-- Every move a job may make; filled from models.TRANSITIONS.
CREATE TABLE transitions (
    old TEXT NOT NULL,
    new TEXT NOT NULL,
    PRIMARY KEY (old, new)
) WITHOUT ROWID;

-- Column order is what rows.JobRow.from_row reads.
CREATE TABLE jobs (
    seq                 INTEGER PRIMARY KEY,
    id                  TEXT NOT NULL UNIQUE,
    task                TEXT NOT NULL,
    source_path         BLOB NOT NULL,
    relative            BLOB NOT NULL,
    size                INTEGER NOT NULL,
    mtime_ns            INTEGER NOT NULL,
    output              BLOB NOT NULL,       -- below the output root
    profile_fingerprint TEXT NOT NULL,
    profile_name        TEXT NOT NULL,
    state               TEXT NOT NULL,
    priority            INTEGER NOT NULL,
    tenant              TEXT NOT NULL,
    dependencies        TEXT NOT NULL,       -- JSON list of job ids
    metadata            TEXT NOT NULL,       -- JSON list of [key, value]
    cpu_seconds         REAL NOT NULL,       -- these three: predicted
    memory_bytes        INTEGER NOT NULL,
    disk_bytes          INTEGER NOT NULL,
    media_seconds       REAL,
    attempts            INTEGER NOT NULL DEFAULT 0,
    crashes             INTEGER NOT NULL DEFAULT 0,
    sheds               INTEGER NOT NULL DEFAULT 0,
    retries_charged     INTEGER NOT NULL DEFAULT 0,
    failure             TEXT,
    reason              TEXT NOT NULL DEFAULT '',
    attempt_id          INTEGER REFERENCES attempts (id),
    batch_id            INTEGER,
    granted_size        INTEGER,             -- the intent: what a publish was granted for
    granted_mtime_ns    INTEGER,
    granted_facts       TEXT,
    output_size         INTEGER,             -- what lies under the final name since the last success
    output_mtime_ns     INTEGER,
    output_facts        TEXT,
    run_id              INTEGER NOT NULL REFERENCES runs (id),   -- the run that last changed the row
    updated_at          REAL NOT NULL,
    failed_runs         INTEGER NOT NULL DEFAULT 0,              -- runs in which it ended failed, and nothing changed
    killed_runs         INTEGER NOT NULL DEFAULT 0               -- runs in a row that were killed while it was running
);

CREATE INDEX jobs_state ON jobs (state);

-- A name belongs to one job among those that have, or will have, an output. The engine's queries repeat the condition
-- word for word, because SQLite uses a partial index only where it finds the same terms.
CREATE UNIQUE INDEX jobs_output ON jobs (output)
    WHERE state IN ('pending', 'assigned', 'running', 'publishing', 'succeeded') AND output <> x'';

-- What was last made under each name, also where the job has taken another name since: so that a file in the output
-- folder is recognised as ours, and of which source. True while it lies there with that size and mtime.
CREATE TABLE outputs (
    output              BLOB PRIMARY KEY,
    size                INTEGER NOT NULL,
    mtime_ns            INTEGER NOT NULL,
    facts               TEXT NOT NULL,
    source_path         BLOB NOT NULL,
    relative            BLOB NOT NULL,
    source_size         INTEGER NOT NULL,
    source_mtime_ns     INTEGER NOT NULL,
    profile_fingerprint TEXT NOT NULL,
    task                TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE attempts (
    id                 INTEGER PRIMARY KEY,
    job_id             TEXT NOT NULL REFERENCES jobs (id),
    run_id             INTEGER NOT NULL REFERENCES runs (id),
    batch_id           INTEGER,
    number             INTEGER NOT NULL,
    worker_pid         INTEGER NOT NULL,
    worker_start_time  REAL NOT NULL,
    ffmpeg_pid         INTEGER,
    ffmpeg_start_time  REAL,
    started_at         REAL NOT NULL,
    ended_at           REAL,
    outcome            TEXT,
    failure            TEXT,
    reason             TEXT NOT NULL DEFAULT '',
    charged            INTEGER NOT NULL DEFAULT 0,
    wall_seconds       REAL,
    cpu_seconds        REAL,
    peak_memory_bytes  INTEGER,
    threads                INTEGER,          -- these three: as the attempt was begun
    predicted_cpu_seconds  REAL,
    predicted_memory_bytes INTEGER
);

CREATE INDEX attempts_job ON attempts (job_id);

CREATE TABLE batches (
    run_id              INTEGER NOT NULL REFERENCES runs (id),
    id                  INTEGER NOT NULL,
    jobs                INTEGER NOT NULL,
    slots               INTEGER NOT NULL,
    threads             INTEGER NOT NULL,
    memory_budget_bytes INTEGER NOT NULL,
    worker_pid          INTEGER NOT NULL,
    worker_start_time   REAL NOT NULL,
    started_at          REAL NOT NULL,
    ended_at            REAL,
    worker_exit_code    INTEGER,
    PRIMARY KEY (run_id, id)
) WITHOUT ROWID;

CREATE INDEX batches_open ON batches (run_id, id) WHERE ended_at IS NULL;

CREATE TABLE readings (
    id      INTEGER PRIMARY KEY,
    run_id  INTEGER NOT NULL REFERENCES runs (id),
    at      REAL NOT NULL,
    reading TEXT NOT NULL
);

CREATE TABLE events (
    id       INTEGER PRIMARY KEY,
    run_id   INTEGER NOT NULL REFERENCES runs (id),
    at       REAL NOT NULL,
    kind     TEXT NOT NULL,
    text     TEXT NOT NULL,
    job_id   TEXT,
    batch_id INTEGER,
    reading  TEXT
);

CREATE INDEX events_job ON events (job_id) WHERE job_id IS NOT NULL;

CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;

CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;

CREATE TRIGGER jobs_begin_pending BEFORE INSERT ON jobs WHEN NEW.state <> 'pending'
BEGIN
    SELECT RAISE(ABORT, 'a job begins as pending');
END;

CREATE TRIGGER jobs_move_by_the_table BEFORE UPDATE OF state ON jobs
WHEN NEW.state <> OLD.state
    AND NOT EXISTS (SELECT 1 FROM transitions WHERE old = OLD.state AND new = NEW.state)
BEGIN
    SELECT RAISE(ABORT, 'a job may not make this move');
END;
