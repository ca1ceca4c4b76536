"""Kinds of work: what a job of each kind costs to predict, and how it is done."""
