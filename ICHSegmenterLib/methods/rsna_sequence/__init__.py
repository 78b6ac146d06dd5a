"""The slice-and-sequence transformer of RSNA 2019."""
