"""The processor, the context of a run, and networks by name."""
