from __future__ import annotations

from dataclasses import asdict, replace

from foresight.evaluation.assess import settings_of
from foresight.evaluation.results import config_hash
from foresight.policies.mpc import ImagineConfig, ImaginingFactory


def test_a_setting_that_came_later_leaves_the_hash_of_its_default_alone():
    factory = ImaginingFactory("somewhere", search=ImagineConfig(samples=5))
    before = asdict(factory)
    assert before.pop("protocol") == "seed200"
    assert config_hash({"factory": settings_of(factory)}) == config_hash({"factory": before})
    other = settings_of(replace(factory, protocol="dmc1000"))
    assert other["protocol"] == "dmc1000"
    # What was there from the beginning counts with its default, too.
    assert settings_of(factory)["encoder"] == "foresight-small"
