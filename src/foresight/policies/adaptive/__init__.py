"""Acting with a learned model on a robot whose body has changed, and learning that on the way."""
