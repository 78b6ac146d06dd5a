"""The exams of a scene: its volumes, and the time points of its sequences."""
