"""Calibrations of methods of the program, one JSON a method, as the verb `calibrate` writes them."""
