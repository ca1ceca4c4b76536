"""Benchmarks: each compares within one run and prints ratios. `make bench` runs them all."""
