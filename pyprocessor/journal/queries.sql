-- Every statement of the journal, by name. Read by database.py: a block runs from one `-- name:` line to the next.

-- ------------------------------------------------------------------ runs

-- name: insert_run
INSERT INTO runs (id, arguments, engine_pid, engine_start_time, started_at)
VALUES (:run_id, :arguments, :pid, :start_time, :now)

-- name: end_run
UPDATE runs SET
    ended_at = :now, exit_code = :exit_code, done_before = :done_before, failed_before = :failed_before
WHERE id = :run_id

-- name: last_run
SELECT * FROM runs WHERE id > 0 ORDER BY id DESC LIMIT 1

-- name: last_runs
SELECT * FROM runs WHERE id > 0 ORDER BY id DESC LIMIT :most

-- name: last_written
SELECT max(at) FROM (
    SELECT started_at AS at FROM runs WHERE id = :run_id
    UNION ALL SELECT max(at) FROM readings WHERE run_id = :run_id
    UNION ALL SELECT max(at) FROM events WHERE run_id = :run_id
    UNION ALL SELECT max(started_at) FROM attempts WHERE run_id = :run_id
    UNION ALL SELECT max(ended_at) FROM attempts WHERE run_id = :run_id AND cpu_seconds IS NOT NULL
)

-- name: all_runs
SELECT * FROM runs ORDER BY id

-- name: open_runs
SELECT * FROM runs WHERE ended_at IS NULL ORDER BY id

-- name: count_lookup
UPDATE runs SET lookups = lookups + 1 WHERE id = :run_id

-- name: count_hit
UPDATE runs SET hits = hits + 1, saved_cpu_seconds = saved_cpu_seconds + :cpu_seconds WHERE id = :run_id

-- Run 0 has the jobs that were adopted, and what is written between runs.
-- name: insert_forgotten_run
INSERT OR IGNORE INTO runs (id, arguments, engine_pid, engine_start_time, started_at, ended_at)
VALUES (0, '', 0, 0, :now, :now)

-- ------------------------------------------------------------------ media

-- name: media
SELECT media, failure, message FROM media
WHERE path = :path AND size = :size_bytes AND mtime_ns = :mtime_ns AND shape = :shape

-- name: remember_media
INSERT OR REPLACE INTO media (path, size, mtime_ns, shape, media, failure, message)
VALUES (:path, :size_bytes, :mtime_ns, :shape, :media, :failure, :message)

-- ------------------------------------------------------------------ contents and the result cache

-- name: content
SELECT digest FROM contents WHERE path = :path AND size = :size_bytes AND mtime_ns = :mtime_ns

-- name: remember_content
INSERT OR REPLACE INTO contents (path, size, mtime_ns, digest) VALUES (:path, :size_bytes, :mtime_ns, :digest)

-- name: cached_result
SELECT result, made_at FROM results WHERE key = :key AND made_at >= :oldest

-- name: keep_result
INSERT OR REPLACE INTO results (key, result, made_at, used_at) VALUES (:key, :result, :now, :now)

-- name: use_result
UPDATE results SET used_at = :now WHERE key = :key

-- Those that were not used for longest make room.
-- name: bound_results
DELETE FROM results WHERE key IN (
    SELECT key FROM results ORDER BY used_at LIMIT max(0, (SELECT count(*) FROM results) - :most)
)

-- ------------------------------------------------------------------ transitions

-- name: transitions
SELECT old, new FROM transitions

-- name: clear_transitions
DELETE FROM transitions

-- name: insert_transition
INSERT INTO transitions (old, new) VALUES (:old, :new)

-- ------------------------------------------------------------------ jobs: reading

-- name: job
SELECT * FROM jobs WHERE id = :id

-- name: jobs_page
SELECT * FROM jobs
WHERE seq > :after AND (:run_id IS NULL OR run_id = :run_id)
ORDER BY seq LIMIT :limit

-- name: jobs_page_in_state
SELECT * FROM jobs
WHERE state = :state AND seq > :after AND (:run_id IS NULL OR run_id = :run_id)
ORDER BY seq LIMIT :limit

-- name: jobs_by_prefix
SELECT * FROM jobs WHERE id >= :prefix AND id < :prefix || 'g' ORDER BY id LIMIT :most

-- name: intents
SELECT granted_intents FROM jobs WHERE id = :id

-- name: jobs_by_name
SELECT * FROM jobs WHERE relative = :name ORDER BY seq LIMIT :most

-- name: children
SELECT * FROM jobs WHERE parent = :id AND parent <> '' ORDER BY seq

-- name: any_child
SELECT 1 FROM jobs WHERE origin = 'child' LIMIT 1

-- name: parents
SELECT id, parent FROM jobs WHERE parent <> ''

-- name: counts
SELECT state, count(*) FROM jobs WHERE origin <> 'child' GROUP BY state

-- name: counts_of_run
SELECT state, count(*) FROM jobs WHERE run_id = :run_id AND origin <> 'child' GROUP BY state

-- Without the parts of a folder's files: these come back when the file is found again.
-- name: jobs_waiting_for_nothing
SELECT * FROM jobs
WHERE state = 'pending' AND origin <> 'folder' AND seq > :after AND NOT EXISTS (
    SELECT 1 FROM jobs AS made_of WHERE made_of.id = jobs.parent AND made_of.origin = 'folder'
)
ORDER BY seq LIMIT :limit

-- name: submitted_in_vain
SELECT * FROM jobs
WHERE state IN ('failed', 'quarantined', 'cancelled') AND origin = 'submitted' AND cancelled_for = '' AND seq > :after
ORDER BY seq LIMIT :limit

-- name: names
SELECT seq, relative, task, tenant FROM jobs
WHERE (source_path <> x'' OR inputs <> '[]') AND seq > :after ORDER BY seq LIMIT :limit

-- name: results_of_task
SELECT seq, relative, source_path, result FROM jobs
WHERE state = 'succeeded' AND task = :task AND seq > :after ORDER BY seq LIMIT :limit

-- name: count_to_come
SELECT count(*) FROM jobs WHERE state IN ('waiting', 'pending') AND origin = 'submitted'

-- name: count_waiting_of
SELECT count(*) FROM jobs WHERE state IN ('waiting', 'pending') AND origin = 'submitted' AND tenant = :tenant

-- name: any_submitted
SELECT 1 FROM jobs WHERE origin <> 'folder' LIMIT 1

-- name: owner
SELECT jobs.* FROM claims JOIN jobs ON jobs.id = claims.job_id WHERE claims.name = :name

-- A name that lies below this one, as in a folder.
-- name: claim_below
SELECT name FROM claims WHERE name > :low AND name < :high AND job_id <> :id LIMIT 1

-- name: claim_name
INSERT INTO claims (name, job_id) VALUES (:name, :id)

-- name: drop_claims
DELETE FROM claims WHERE job_id = :id

-- ------------------------------------------------------------------ params

-- name: params
SELECT document FROM params WHERE fingerprint = :fingerprint

-- name: insert_params
INSERT OR IGNORE INTO params (fingerprint, document) VALUES (:fingerprint, :document)

-- ------------------------------------------------------------------ dependencies

-- A job waits for any end of a child or a fetch: if that failed, the job fails with its reason.
-- name: insert_dependency
INSERT OR REPLACE INTO dependencies (job_id, needs, any_end) VALUES (
    :id, :needs, :any_end OR EXISTS (SELECT 1 FROM jobs WHERE id = :needs AND origin = 'child')
)

-- What a job waits for by what was submitted; with `all` also its children, of which others are made then.
-- name: clear_dependencies
DELETE FROM dependencies WHERE job_id = :id AND (:all OR NOT any_end)

-- name: divided
SELECT DISTINCT jobs.id FROM dependencies JOIN jobs ON jobs.id = dependencies.job_id
WHERE dependencies.any_end AND jobs.origin = 'folder' ORDER BY jobs.seq

-- name: dependencies
SELECT needs FROM dependencies WHERE job_id = :id ORDER BY needs

-- name: dependents
SELECT jobs.* FROM dependencies JOIN jobs ON jobs.id = dependencies.job_id
WHERE dependencies.needs = :id ORDER BY jobs.seq LIMIT :most

-- name: is_needed
SELECT 1 FROM dependencies WHERE needs = :id LIMIT 1

-- name: dependent_states
SELECT DISTINCT jobs.state FROM dependencies JOIN jobs ON jobs.id = dependencies.job_id WHERE dependencies.needs = :id

-- name: lacks
SELECT 1 FROM dependencies AS other LEFT JOIN jobs AS needed ON needed.id = other.needs
WHERE other.job_id = :id AND NOT coalesce(
    needed.state IN ('succeeded', 'kept_source')
        OR (needed.state = 'skipped' AND needed.already_right)
        OR (other.any_end AND needed.state IN ('skipped', 'failed', 'quarantined', 'cancelled')),
    0
)
LIMIT 1

-- Jobs that waited for this one, and now for nothing more.
-- name: released
SELECT ours.job_id FROM dependencies AS ours JOIN jobs ON jobs.id = ours.job_id
WHERE ours.needs = :id AND jobs.state = 'waiting' AND NOT EXISTS (
    SELECT 1 FROM dependencies AS other LEFT JOIN jobs AS needed ON needed.id = other.needs
    WHERE other.job_id = ours.job_id AND NOT coalesce(
        needed.state IN ('succeeded', 'kept_source')
            OR (needed.state = 'skipped' AND needed.already_right)
            OR (other.any_end AND needed.state IN ('skipped', 'failed', 'quarantined', 'cancelled')),
        0
    )
)

-- name: hold_job
UPDATE jobs SET state = 'waiting', run_id = :run_id, updated_at = :now
WHERE id = :id AND state NOT IN ('waiting', 'assigned', 'running', 'publishing')

-- name: release_job
UPDATE jobs SET state = 'pending', run_id = :run_id, updated_at = :now WHERE id = :id AND state = 'waiting'

-- All that wait for this one to succeed, or for one that does.
-- name: waiting_below
WITH RECURSIVE below (id) AS (
    SELECT job_id FROM dependencies WHERE needs = :id AND NOT any_end
    UNION
    SELECT dependencies.job_id FROM dependencies JOIN below ON dependencies.needs = below.id WHERE NOT any_end
)
SELECT jobs.id FROM below JOIN jobs ON jobs.id = below.id WHERE jobs.state = 'waiting' ORDER BY jobs.seq

-- name: cancel_dependent
UPDATE jobs SET
    state = 'cancelled', cancelled_for = :cause, failure = NULL, reason = :reason, run_id = :run_id, updated_at = :now
WHERE id = :id AND state = 'waiting'

-- What was cancelled for a job waits again, now that this is done again.
-- name: reset_dependents
UPDATE jobs SET state = 'waiting', cancelled_for = '', reason = '', run_id = :run_id, updated_at = :now
WHERE state = 'cancelled' AND cancelled_for = :id

-- name: waits_in_vain
SELECT 1 FROM dependencies JOIN jobs AS needed ON needed.id = dependencies.needs
WHERE dependencies.job_id = :id AND NOT dependencies.any_end AND (
    needed.state IN ('failed', 'quarantined', 'cancelled') OR (needed.state = 'skipped' AND NOT needed.already_right)
)
LIMIT 1

-- A job that waits for one that failed, was cancelled, or was skipped with its work undone.
-- name: hopeless
SELECT jobs.id, needed.id, needed.cancelled_for
FROM jobs JOIN dependencies ON dependencies.job_id = jobs.id JOIN jobs AS needed ON needed.id = dependencies.needs
WHERE jobs.state = 'waiting' AND NOT dependencies.any_end AND (
    needed.state IN ('failed', 'quarantined', 'cancelled') OR (needed.state = 'skipped' AND NOT needed.already_right)
)
ORDER BY jobs.seq LIMIT 1

-- ------------------------------------------------------------------ outputs

-- name: made
SELECT * FROM outputs WHERE output = :output

-- name: any_output
SELECT 1 FROM outputs LIMIT 1

-- name: remember_output
INSERT OR REPLACE INTO outputs
SELECT output, output_size, output_mtime_ns, output_facts, source_path, relative, size, mtime_ns, params_fingerprint, task
FROM jobs WHERE id = :id AND output <> x''

-- name: insert_output
INSERT OR REPLACE INTO outputs (
    output, size, mtime_ns, facts, source_path, relative, source_size, source_mtime_ns, params_fingerprint, task
) VALUES (
    :output, :output_size_bytes, :output_mtime_ns, :output_facts, :path, :relative, :size_bytes, :mtime_ns,
    :params_fingerprint, :task
)

-- ------------------------------------------------------------------ jobs: planning

-- name: insert_job
INSERT INTO jobs (
    id, task, origin, parent, source_path, relative, size, mtime_ns, inputs, output, output_is_folder, companions,
    params_fingerprint,
    profile_name, state, priority, tenant, metadata, max_retries, timeout_seconds, not_before, deadline,
    cpu_seconds, memory_bytes, disk_bytes, media_seconds, run_id, updated_at
) VALUES (
    :id, :task, :origin, :parent, :path, :relative, :size_bytes, :mtime_ns, :inputs, :output, :output_is_folder,
    :companions, :params_fingerprint, :profile_name, :state, :priority, :tenant, :metadata, :max_retries, :timeout_seconds,
    :not_before, :deadline, :cpu_seconds, :memory_bytes, :disk_bytes, :media_seconds, :run_id, :now
)

-- The inputs or the params are others: begin anew. What was last made stays known while the name is the same.
-- name: replan_job
UPDATE jobs SET
    task = :task, origin = :origin, parent = :parent, source_path = :path, relative = :relative, size = :size_bytes,
    mtime_ns = :mtime_ns, inputs = :inputs, output = :output, output_is_folder = :output_is_folder,
    companions = :companions,
    params_fingerprint = :params_fingerprint, profile_name = :profile_name, state = :state,
    priority = :priority, tenant = :tenant, metadata = :metadata, max_retries = :max_retries,
    timeout_seconds = :timeout_seconds, not_before = :not_before, deadline = :deadline,
    cpu_seconds = :cpu_seconds, memory_bytes = :memory_bytes, disk_bytes = :disk_bytes,
    media_seconds = :media_seconds, run_id = :run_id, updated_at = :now,
    output_size = CASE WHEN output = :output THEN output_size END,
    output_mtime_ns = CASE WHEN output = :output THEN output_mtime_ns END,
    output_facts = CASE WHEN output = :output THEN output_facts END,
    attempts = 0, crashes = 0, sheds = 0, retries_charged = 0, killed_runs = 0, failure = NULL, reason = '',
    already_right = 0, cancelled_for = '', found = NULL, anew = :again,
    failed_runs = CASE WHEN :forgive THEN 0 ELSE failed_runs END, attempt_id = NULL, batch_id = NULL,
    granted_size = NULL, granted_mtime_ns = NULL, granted_facts = NULL, granted_intents = NULL
WHERE id = :id AND state NOT IN ('assigned', 'running', 'publishing')

-- Still to be done, nothing published: takes today's name, cost, order and labels, keeps what it has been through unless
-- that is forgiven.
-- name: refresh_job
UPDATE jobs SET
    crashes = CASE WHEN :forgive THEN 0 ELSE crashes END, sheds = CASE WHEN :forgive THEN 0 ELSE sheds END,
    retries_charged = CASE WHEN :forgive THEN 0 ELSE retries_charged END,
    failed_runs = CASE WHEN :forgive THEN 0 ELSE failed_runs END,
    killed_runs = CASE WHEN :forgive THEN 0 ELSE killed_runs END,
    output_size = CASE WHEN output = :output THEN output_size END,
    output_mtime_ns = CASE WHEN output = :output THEN output_mtime_ns END,
    output_facts = CASE WHEN output = :output THEN output_facts END,
    source_path = :path, relative = :relative, inputs = :inputs, output = :output, output_is_folder = :output_is_folder,
    companions = :companions,
    profile_name = :profile_name, state = :state, priority = :priority, tenant = :tenant, metadata = :metadata,
    max_retries = :max_retries, timeout_seconds = :timeout_seconds, not_before = :not_before, deadline = :deadline,
    cpu_seconds = :cpu_seconds, memory_bytes = :memory_bytes, disk_bytes = :disk_bytes,
    media_seconds = :media_seconds, run_id = :run_id, updated_at = :now
WHERE id = :id AND state IN ('pending', 'waiting')

-- name: predict_job
UPDATE jobs SET
    cpu_seconds = :cpu_seconds, memory_bytes = :memory_bytes, disk_bytes = :disk_bytes,
    run_id = :run_id, updated_at = :now
WHERE id = :id AND state = 'pending'

-- name: remember_found
UPDATE jobs SET found = :found WHERE id = :id AND state = 'pending'

-- What lies under the job's name is its own, made before it had another name or in a run that the journal forgot.
-- name: claim_output
UPDATE jobs SET output_size = :size_bytes, output_mtime_ns = :mtime_ns, output_facts = :facts, run_id = :run_id, updated_at = :now
WHERE id = :id AND state = 'pending'

-- ------------------------------------------------------------------ jobs: moves

-- name: assign_job
UPDATE jobs SET state = 'assigned', batch_id = :batch_id, run_id = :run_id, updated_at = :now
WHERE id = :id AND state = 'pending'

-- name: start_job
UPDATE jobs SET
    state = 'running', attempts = attempts + 1, attempt_id = :attempt_id, run_id = :run_id, updated_at = :now
WHERE id = :id AND state = 'assigned'

-- name: grant_job
UPDATE jobs SET
    state = 'publishing', granted_size = :size_bytes, granted_mtime_ns = :mtime_ns, granted_facts = :facts,
    granted_intents = :intents, result = :result, run_id = :run_id, updated_at = :now
WHERE id = :id AND state = 'running' AND attempt_id = :attempt_id

-- name: succeed_job
UPDATE jobs SET
    state = 'succeeded', output_size = :size_bytes, output_mtime_ns = :mtime_ns, output_facts = :facts,
    granted_size = NULL, granted_mtime_ns = NULL, granted_facts = NULL, granted_intents = NULL,
    attempt_id = NULL, batch_id = NULL,
    failure = NULL, reason = '', failed_runs = 0, killed_runs = 0, run_id = :run_id, updated_at = :now
WHERE id = :id AND state = 'publishing' AND attempt_id = :attempt_id

-- A job without products: what it did is done once this is committed.
-- name: complete_job
UPDATE jobs SET
    state = 'succeeded', result = :result, attempt_id = NULL, batch_id = NULL,
    failure = NULL, reason = '', failed_runs = 0, killed_runs = 0, run_id = :run_id, updated_at = :now
WHERE id = :id AND state = 'running' AND attempt_id = :attempt_id

-- name: adopt_job
UPDATE jobs SET
    state = 'succeeded', output_size = :size_bytes, output_mtime_ns = :mtime_ns, output_facts = :facts,
    failure = NULL, reason = '', run_id = 0, updated_at = :now
WHERE id = :id AND state = 'pending'

-- name: finish_waiting_job
UPDATE jobs SET
    state = :state, failure = :failure, reason = :reason, already_right = :already_right,
    failed_runs = failed_runs + :failed, batch_id = NULL, run_id = :run_id, updated_at = :now
WHERE id = :id AND state IN ('waiting', 'pending', 'assigned')

-- name: finish_running_job
UPDATE jobs SET
    state = :state, failure = :failure, reason = :reason, already_right = :already_right,
    crashes = crashes + :crashed,
    failed_runs = failed_runs + :failed, killed_runs = 0,
    granted_size = NULL, granted_mtime_ns = NULL, granted_facts = NULL, granted_intents = NULL,
    attempt_id = NULL, batch_id = NULL,
    run_id = :run_id, updated_at = :now
WHERE id = :id AND state IN ('running', 'publishing') AND attempt_id = :attempt_id

-- name: retry_job
UPDATE jobs SET
    state = 'pending', attempts = 0, crashes = 0, sheds = 0, retries_charged = 0, killed_runs = 0,
    failed_runs = CASE WHEN :forgive THEN 0 ELSE failed_runs END,
    failure = NULL, reason = '', already_right = 0, cancelled_for = '', found = NULL,
    run_id = :run_id, updated_at = :now
WHERE id = :id AND state IN ('skipped', 'failed', 'quarantined', 'cancelled')

-- name: requeue_assigned_job
UPDATE jobs SET state = 'pending', batch_id = NULL, run_id = :run_id, updated_at = :now
WHERE id = :id AND state = 'assigned'

-- name: requeue_running_job
UPDATE jobs SET
    state = 'pending', failure = :failure, reason = :reason,
    crashes = crashes + :crashed, sheds = sheds + :shed, retries_charged = retries_charged + :charge,
    killed_runs = 0,
    granted_size = NULL, granted_mtime_ns = NULL, granted_facts = NULL, granted_intents = NULL,
    attempt_id = NULL, batch_id = NULL,
    run_id = :run_id, updated_at = :now
WHERE id = :id AND state IN ('running', 'publishing') AND attempt_id = :attempt_id

-- name: abandon_jobs
UPDATE jobs SET
    state = 'pending', killed_runs = killed_runs + (state = 'running'),
    attempt_id = NULL, batch_id = NULL, run_id = :run_id, updated_at = :now
WHERE state IN ('assigned', 'running')

-- ------------------------------------------------------------------ attempts

-- name: insert_attempt
INSERT INTO attempts (
    job_id, run_id, batch_id, number, worker_pid, worker_start_time, started_at,
    threads, predicted_cpu_seconds, predicted_memory_bytes
)
SELECT id, :run_id, batch_id, attempts + 1, :pid, :start_time, :now, :threads, :cpu_seconds, :memory_bytes
FROM jobs WHERE id = :id AND state = 'assigned'

-- name: name_ffmpeg
UPDATE attempts SET ffmpeg_pid = :pid, ffmpeg_start_time = :start_time WHERE id = :id AND ended_at IS NULL

-- name: close_attempt
UPDATE attempts SET
    ended_at = :now, outcome = :outcome, failure = :failure, reason = :reason, charged = :charge,
    wall_seconds = :wall_seconds, cpu_seconds = :cpu_seconds, peak_memory_bytes = :peak_memory_bytes
WHERE id = :id AND ended_at IS NULL

-- name: abandon_attempts
UPDATE attempts SET ended_at = :now, outcome = :outcome, reason = :reason
WHERE ended_at IS NULL
    AND job_id IN (SELECT id FROM jobs WHERE state IN ('assigned', 'running'))

-- name: attempts_page
SELECT *, 0 FROM attempts WHERE id > :after AND (:run_id IS NULL OR run_id = :run_id) ORDER BY id LIMIT :limit

-- name: attempts_of_job
SELECT *, 0 FROM attempts WHERE job_id = :id ORDER BY id

-- ------------------------------------------------------------------ batches

-- name: insert_batch
INSERT INTO batches (
    run_id, id, jobs, slots, threads, memory_budget_bytes, worker_pid, worker_start_time, started_at
) VALUES (
    :run_id, :id, :jobs, :slots, :threads, :memory_budget_bytes, :pid, :start_time, :now
)

-- name: end_batch
UPDATE batches SET ended_at = :now, worker_exit_code = :worker_exit_code
WHERE run_id = :run_id AND id = :id AND ended_at IS NULL

-- name: abandon_batches
UPDATE batches SET ended_at = :now WHERE ended_at IS NULL

-- name: open_workers
SELECT worker_pid, worker_start_time FROM batches WHERE ended_at IS NULL ORDER BY run_id, id

-- ------------------------------------------------------------------ back ends

-- name: backends
SELECT name, spent, spent_at, failures, failed_at, blocked_until FROM backends

-- name: keep_backend
INSERT OR REPLACE INTO backends (name, spent, spent_at, failures, failed_at, blocked_until)
VALUES (:name, :spent, :spent_at, :failures, :failed_at, :blocked_until)

-- ------------------------------------------------------------------ readings and events

-- name: insert_reading
INSERT INTO readings (run_id, at, reading) VALUES (:run_id, :now, :reading)

-- name: prune_readings
DELETE FROM readings WHERE id <= (SELECT max(id) FROM readings) - :kept

-- name: insert_event
INSERT INTO events (run_id, at, kind, text, job_id, reading)
VALUES (:run_id, :now, :kind, :text, :job_id, :reading)

-- name: events_page
SELECT id, run_id, at, kind, text, job_id, reading FROM events WHERE id > :after AND (:run_id IS NULL OR run_id = :run_id) ORDER BY id LIMIT :limit

-- name: settings
SELECT text FROM events WHERE run_id = :run_id AND kind = 'settings' ORDER BY id LIMIT 1

-- name: readings_page
SELECT id, reading FROM readings WHERE id > :after AND run_id = :run_id ORDER BY id LIMIT :limit

-- ------------------------------------------------------------------ pruning

-- name: make_prunable
CREATE TEMP TABLE IF NOT EXISTS prunable (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE)

-- name: clear_prunable
DELETE FROM prunable

-- name: select_prunable
INSERT INTO prunable (seq, id)
WITH RECURSIVE
    finished (seq, id) AS (
        SELECT seq, id FROM jobs
        WHERE state IN ('succeeded', 'skipped', 'kept_source', 'failed', 'quarantined', 'cancelled')
    ),
    old (seq, id) AS (
        SELECT jobs.seq, jobs.id FROM jobs JOIN finished ON finished.seq = jobs.seq
        WHERE jobs.updated_at < :before
            AND jobs.seq NOT IN (
                SELECT newest.seq FROM jobs AS newest JOIN finished ON finished.seq = newest.seq
                ORDER BY newest.updated_at DESC, newest.seq DESC LIMIT :keep
            )
            AND NOT EXISTS (
                SELECT 1 FROM jobs AS parent WHERE parent.id = jobs.parent AND parent.seq NOT IN (SELECT seq FROM finished)
            )
            AND (
                jobs.origin <> 'folder'
                OR (jobs.state = 'succeeded' AND EXISTS (
                    SELECT 1 FROM outputs WHERE outputs.output = jobs.output
                        AND outputs.size = jobs.output_size AND outputs.mtime_ns = jobs.output_mtime_ns
                ))
            )
    ),
    staying (id) AS (
        SELECT id FROM jobs WHERE seq NOT IN (SELECT seq FROM old)
        UNION
        SELECT dependencies.needs FROM staying
        JOIN jobs ON jobs.id = staying.id
        JOIN dependencies ON dependencies.job_id = jobs.id
        WHERE NOT (jobs.state IN ('succeeded', 'kept_source') OR (jobs.state = 'skipped' AND jobs.already_right))
    )
SELECT seq, id FROM old WHERE id NOT IN (SELECT id FROM staying)

-- name: prunable_page
SELECT jobs.* FROM prunable JOIN jobs ON jobs.seq = prunable.seq
WHERE prunable.seq > :after ORDER BY prunable.seq LIMIT :limit

-- name: prune_attempts
DELETE FROM attempts WHERE job_id IN (SELECT id FROM prunable)

-- name: prune_dependencies
DELETE FROM dependencies WHERE job_id IN (SELECT id FROM prunable) OR needs IN (SELECT id FROM prunable)

-- name: prune_claims
DELETE FROM claims WHERE job_id IN (SELECT id FROM prunable)

-- name: prune_jobs
DELETE FROM jobs WHERE seq IN (SELECT seq FROM prunable)

-- name: prune_params
DELETE FROM params WHERE fingerprint NOT IN (SELECT params_fingerprint FROM jobs)
