"""The published tables, each prepared, trained, evaluated and set beside the paper's row by one command."""
