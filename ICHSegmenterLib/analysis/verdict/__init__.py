"""The verdict of an exam from pieces of blood."""
