"""DICOM objects of a result: what a picture archive takes back."""
