"""Several methods on one exam: where they differ, and their vote."""
