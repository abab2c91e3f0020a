"""Training of frame-causal predictors, by one process or several."""
