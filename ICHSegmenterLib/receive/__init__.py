"""A DICOM storage receiver: studies come in from named peers, are analyzed as by a batch, and results may go back."""
