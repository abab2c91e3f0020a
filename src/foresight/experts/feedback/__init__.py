"""Feedback on the simulator's state: consistent experts, found by reinforcement learning.

The oracle plans anew in every state and reaches the same return in many ways, so its actions can
hardly be predicted from a state and are poor lessons. A fixed feedback law can be learned from.
"""

from foresight.experts.feedback.law import FeedbackExpert, FeedbackLaw, known_laws, load_law
from foresight.experts.feedback.state import StateFeatures

__all__ = ["FeedbackExpert", "FeedbackLaw", "StateFeatures", "known_laws", "load_law"]
