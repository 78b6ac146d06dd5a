"""Engines of a batch: how its exams are read, analyzed and written, and what ends a run."""
