"""Accuracy of the methods on exams of known truth, as a page: `python Testing/accuracy/measure.py`."""
