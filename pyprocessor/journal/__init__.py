"""The SQLite file that remembers runs, jobs, attempts, batches, readings and events of one output folder.

One process writes it, the engine, through `journal.Journal`; `status` and `report` read it through
`reader.JournalReader`. The SQL stands beside the code: `schema.sql` and the named statements of `queries.sql`.
"""
