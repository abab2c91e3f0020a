"""LIBERO's tasks of a Panda arm, over the packages ``hf-libero`` and ``robosuite``."""
