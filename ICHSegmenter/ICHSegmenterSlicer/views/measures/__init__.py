"""The box of the measures, and that of the prior exam."""
