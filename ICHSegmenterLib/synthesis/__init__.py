"""Synthetic heads, lesions and acquisitions."""
