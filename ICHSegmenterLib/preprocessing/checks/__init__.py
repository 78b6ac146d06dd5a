"""Checks of a scan by its pixels: noise and kernel, contrast medium, artifacts, and what of the head is in view."""
