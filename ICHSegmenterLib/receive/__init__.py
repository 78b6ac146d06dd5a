"""Exams that come: into a watched folder, or over the network as a DICOM storage service; results may go back."""
