"""What is remembered of an output folder: runs, jobs, attempts, batches, readings and events, in one SQLite file.

One process writes it, the engine, through `journal.Journal`; `status` and `report` read it through
`reader.JournalReader`. The SQL is beside the code: `schema.sql` and the named statements of `queries.sql`.
"""
