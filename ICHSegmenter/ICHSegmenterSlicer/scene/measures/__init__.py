"""Measures in the scene: lines that can be dragged, and a prior exam compared."""
