"""Answers scored against known truth."""
