"""Pathology of a head: hemorrhages and what they displace."""
