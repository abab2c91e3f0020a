"""A new reward and no new data: what a frozen model is good for beyond its own task."""
