"""Cards as JSON files."""
