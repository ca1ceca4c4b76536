"""What is remembered of an output folder: runs, jobs, attempts, batches, readings and events, in one SQLite file.

The engine writes it (`journal.Journal`); `status` and `report` read it (`reader.JournalReader`).
"""
