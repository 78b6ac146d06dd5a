"""The worker process, from the panel's side."""
