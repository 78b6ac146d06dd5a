"""One card a method."""
