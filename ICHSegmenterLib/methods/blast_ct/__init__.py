"""BLAST-CT: DeepMedic over overlapping tiles."""
