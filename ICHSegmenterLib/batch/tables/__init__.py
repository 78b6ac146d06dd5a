"""Tables of a batch: a row an exam, a slice and a finding."""
