"""Shared by all training tasks: recipes, samplers, augmentation, the task base."""
