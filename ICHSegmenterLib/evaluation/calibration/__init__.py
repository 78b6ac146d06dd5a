"""Fits how a method's pieces of blood become probabilities, and where its operating points lie."""
