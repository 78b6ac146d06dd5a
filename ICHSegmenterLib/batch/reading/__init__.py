"""Reader processes of a batch, which also check what they read."""
