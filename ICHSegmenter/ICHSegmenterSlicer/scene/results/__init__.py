"""Results in the scene: to which exam they belong, what of them a person edited, their numbers now."""
