"""Training: recipes, data, tasks and synthetic exams."""
