"""The command line: what all verbs share, and a folder of verbs. The only place that prints."""
