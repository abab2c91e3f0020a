"""Self-supervised pretraining of an encoder with V-JEPA 2's masked objective."""
