"""One room a method: its network, its input, its predictor and, where it trains, its task, loss and recipe."""
