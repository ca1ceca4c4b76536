"""Telling people and programs how a run goes and how it ended: progress, logs, the closing summary."""
