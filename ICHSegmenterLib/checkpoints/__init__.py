"""Readers of weight files of every supported format."""
