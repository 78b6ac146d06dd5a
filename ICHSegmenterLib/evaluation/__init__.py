"""How good an answer is, against known truth."""
