"""What users ask of a run: signals, the control socket and its client, pause and stop."""
