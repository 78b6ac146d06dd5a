"""Measures that a report names: diameters, ABC/2, midline shift, growth since a prior. Free of torch and of Slicer."""
