"""Weight files on this computer and on the way to it. Never imports torch."""
