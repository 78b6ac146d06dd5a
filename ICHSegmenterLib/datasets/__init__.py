"""Published data set layouts, shards, splits."""
