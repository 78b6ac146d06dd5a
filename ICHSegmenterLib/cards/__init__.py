"""Every method as data: its card, the table of cards, and the published weight files."""
