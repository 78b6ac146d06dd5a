"""The command line: one file a group of verbs. The only place that prints."""
