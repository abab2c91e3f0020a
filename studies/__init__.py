"""Experiments on the product: the source documents' phases, ablations, claims."""
