"""The verbs of those who train and measure: data sets, trainings, evaluations, published tables."""
