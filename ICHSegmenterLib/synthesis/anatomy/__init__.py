"""Anatomy of a head: its shape, skull, brain, vessels and dura."""
