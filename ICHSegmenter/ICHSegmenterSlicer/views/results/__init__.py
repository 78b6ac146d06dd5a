"""The parts of the panel that show a result."""
