"""Foresight's action-chunk policies as policies of LeRobot, under the name ``foresight``."""

from lerobot_policy_foresight.configuration_foresight import ForesightConfig
from lerobot_policy_foresight.modeling_foresight import ForesightPolicy
from lerobot_policy_foresight.processor_foresight import make_foresight_pre_post_processors

__all__ = ["ForesightConfig", "ForesightPolicy", "make_foresight_pre_post_processors"]
