"""Seeded damage to every kind of file and message that the program reads, in processes that may die of it."""
