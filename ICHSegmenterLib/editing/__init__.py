"""What a reader's click means: a bleed grown from it, and where in the head it lies. Free of torch and of Slicer."""
