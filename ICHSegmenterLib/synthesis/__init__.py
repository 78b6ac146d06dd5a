"""Synthetic head CT with hemorrhage of known truth."""
