"""What is learned: one file a kind of task, chosen by the recipe."""
