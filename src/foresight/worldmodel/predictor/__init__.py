"""Frame-causal predictors of a frozen encoder's tokens."""
