"""Pages about a whole batch."""
