"""Acting although actions arrive late, with a model that was learned without delays."""
