"""The command line: one file a group of verbs. The only place that prints."""

from ICHSegmenterLib.cli.main import main

__all__ = ["main"]
