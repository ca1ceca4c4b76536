"""The state folder: run lock, journal opening and repair, receipt index, logs."""
