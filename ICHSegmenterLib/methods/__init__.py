"""One small class a method, all behind the Predictor protocol of `inference.run`."""
