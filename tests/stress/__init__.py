"""Faults on purpose: whole runs of the command whose processes are killed, and what must hold afterwards."""
