"""Index of the exams below a folder: every header is read once ever, and a stopped search goes on."""
