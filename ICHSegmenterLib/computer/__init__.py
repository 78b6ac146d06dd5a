"""This computer: its processors, its packages, and what a report of a problem says of it."""
