"""How a batch is run: processes, messages, attempts."""
