"""Networks that predict the next latent state, alone and as ensembles."""
