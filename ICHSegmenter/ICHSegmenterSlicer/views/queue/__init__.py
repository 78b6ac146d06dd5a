"""The list of several exams in the panel."""
