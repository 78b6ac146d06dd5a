"""SMART-Net's tests: one slice an exam, all slices stacked, whole exams."""
