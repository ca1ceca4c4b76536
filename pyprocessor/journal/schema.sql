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
    failed_before     INTEGER,
    lookups           INTEGER NOT NULL DEFAULT 0,   -- jobs for which a result of the same content was looked for
    hits              INTEGER NOT NULL DEFAULT 0,   -- of these, the ones that got a copy of one
    saved_cpu_seconds REAL NOT NULL DEFAULT 0       -- what making these took, less what copying them took
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

-- What identifies the bytes of a file, see workers/content.py. One row a path, true for that size and mtime.
CREATE TABLE contents (
    path     BLOB PRIMARY KEY,
    size     INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    digest   TEXT NOT NULL
) WITHOUT ROWID;

-- The result cache: what was made of which content by which task and params, all of which is in the key.
CREATE TABLE results (
    key     TEXT PRIMARY KEY,
    result  TEXT NOT NULL,      -- JSON: a models.Reusable, or the answer to a request
    made_at REAL NOT NULL,
    used_at REAL NOT NULL
) WITHOUT ROWID;

CREATE INDEX results_used ON results (used_at);

-- Every move a job may make; filled from models.TRANSITIONS.
CREATE TABLE transitions (
    old TEXT NOT NULL,
    new TEXT NOT NULL,
    PRIMARY KEY (old, new)
) WITHOUT ROWID;

-- What jobs were asked to do, whole: for a transcoding the profile. As JSON, by its fingerprint.
CREATE TABLE params (
    fingerprint TEXT PRIMARY KEY,
    document    TEXT NOT NULL
) WITHOUT ROWID;

-- Column order is what rows.JobRow.from_row reads.
CREATE TABLE jobs (
    seq                INTEGER PRIMARY KEY,
    id                 TEXT NOT NULL UNIQUE,
    task               TEXT NOT NULL,
    origin             TEXT NOT NULL,
    parent             TEXT NOT NULL,       -- the job that made it, or empty
    source_path        BLOB NOT NULL,       -- of its first input that is a file; empty where there is none
    relative           BLOB NOT NULL,       -- what people call the job
    size               INTEGER NOT NULL,
    mtime_ns           INTEGER NOT NULL,
    inputs             TEXT NOT NULL,       -- JSON list of its other inputs
    output             BLOB NOT NULL,       -- its main product, below the output root; empty where there is none
    output_is_folder   INTEGER NOT NULL,
    companions         TEXT NOT NULL,       -- JSON list of its other products
    params_fingerprint TEXT NOT NULL,
    profile_name       TEXT NOT NULL,
    state              TEXT NOT NULL,
    priority           INTEGER NOT NULL,
    tenant             TEXT NOT NULL,
    metadata           TEXT NOT NULL,       -- JSON list of [key, value]
    max_retries        INTEGER,             -- NULL: as the run has it, as for the timeout
    timeout_seconds    REAL,
    not_before         REAL,
    deadline           REAL,
    cpu_seconds        REAL NOT NULL,       -- these three: predicted
    memory_bytes       INTEGER NOT NULL,
    disk_bytes         INTEGER NOT NULL,
    media_seconds      REAL,
    attempts           INTEGER NOT NULL DEFAULT 0,
    crashes            INTEGER NOT NULL DEFAULT 0,
    sheds              INTEGER NOT NULL DEFAULT 0,
    retries_charged    INTEGER NOT NULL DEFAULT 0,
    failure            TEXT,
    reason             TEXT NOT NULL DEFAULT '',
    attempt_id         INTEGER REFERENCES attempts (id),
    batch_id           INTEGER,
    granted_size       INTEGER,             -- the intent: what a publish was granted for
    granted_mtime_ns   INTEGER,
    granted_facts      TEXT,
    granted_intents    TEXT,                -- JSON: for each product what lies where, and what lay under its name before
    output_size        INTEGER,             -- what lies under the final name since the last success
    output_mtime_ns    INTEGER,
    output_facts       TEXT,
    run_id             INTEGER NOT NULL REFERENCES runs (id),   -- the run that last changed the row
    updated_at         REAL NOT NULL,
    failed_runs        INTEGER NOT NULL DEFAULT 0,              -- runs in which it ended failed, and nothing changed
    killed_runs        INTEGER NOT NULL DEFAULT 0,              -- runs in a row that were killed while it was running
    found              TEXT,                -- JSON: what inspecting its inputs found, for jobs of no folder
    result             TEXT,                -- JSON: what it answered when it last succeeded
    already_right      INTEGER NOT NULL DEFAULT 0,              -- skipped, and what waits for it may go on
    cancelled_for      TEXT NOT NULL DEFAULT '',                -- cancelled because this job did not succeed
    anew               INTEGER NOT NULL DEFAULT 0               -- it was done, and is asked for again: nothing is reused
);

CREATE INDEX jobs_state ON jobs (state);
CREATE INDEX jobs_attempt ON jobs (attempt_id) WHERE attempt_id IS NOT NULL;  -- for the deletion of attempts
CREATE INDEX jobs_parent ON jobs (parent) WHERE parent <> '';

-- What a job waits for. With `any_end` it waits only for the end of the other, however that ends.
CREATE TABLE dependencies (
    job_id  TEXT NOT NULL REFERENCES jobs (id),
    needs   TEXT NOT NULL REFERENCES jobs (id),
    any_end INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, needs)
) WITHOUT ROWID;

CREATE INDEX dependencies_needs ON dependencies (needs, job_id);

-- The names below the output root that jobs have, or will have: each belongs to one job.
CREATE TABLE claims (
    name   BLOB PRIMARY KEY,
    job_id TEXT NOT NULL REFERENCES jobs (id)
) WITHOUT ROWID;

CREATE INDEX claims_job ON claims (job_id);

CREATE TRIGGER claims_end_with_their_job AFTER UPDATE OF state ON jobs
WHEN NEW.state IN ('skipped', 'kept_source', 'failed', 'quarantined', 'cancelled')
BEGIN
    DELETE FROM claims WHERE job_id = NEW.id;
END;

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
    params_fingerprint  TEXT NOT NULL,
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

-- The services that jobs are done by: how much of its limit each has used, and whether it answers.
CREATE TABLE backends (
    name          TEXT PRIMARY KEY,
    spent         REAL NOT NULL,           -- requests that its burst lacked at spent_at
    spent_at      REAL NOT NULL,
    failures      INTEGER NOT NULL,        -- attempts in a row that it did not answer
    failed_at     REAL NOT NULL,
    blocked_until REAL NOT NULL
) WITHOUT ROWID;

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

CREATE TRIGGER jobs_begin_waiting BEFORE INSERT ON jobs WHEN NEW.state NOT IN ('pending', 'waiting')
BEGIN
    SELECT RAISE(ABORT, 'a job begins as pending or waiting');
END;

CREATE TRIGGER jobs_move_by_the_table BEFORE UPDATE OF state ON jobs
WHEN NEW.state <> OLD.state
    AND NOT EXISTS (SELECT 1 FROM transitions WHERE old = OLD.state AND new = NEW.state)
BEGIN
    SELECT RAISE(ABORT, 'a job may not make this move');
END;
