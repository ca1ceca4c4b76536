"""What is too long for the tests: `make stress` or `python -m tests.stress`."""
