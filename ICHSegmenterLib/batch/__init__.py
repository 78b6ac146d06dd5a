"""Many exams, resumable."""
