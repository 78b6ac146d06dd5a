"""The buttons of the panel that start a run."""
