"""From data sets as they are distributed to what a training step sees."""
