"""RSNA 2019: its layout, the headers of its many files, and its images without labels."""
