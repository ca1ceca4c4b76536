"""Where jobs come from: scan, inspector, output location, watching."""
