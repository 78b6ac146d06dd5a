"""The box "Weights and computer" of the panel."""
