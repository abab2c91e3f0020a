from __future__ import annotations

import pytest

from foresight.experts.feedback import FeedbackLaw
from studies import experts

pytestmark = pytest.mark.slow


def test_laws_are_written_and_not_searched_twice(tmp_path, monkeypatch):
    sizes = experts.presets()["smoke"]
    result = experts.run(sizes, (), tmp_path)
    law = FeedbackLaw.load(tmp_path / "walker-walk.json")
    assert result.rows[0]["value"] == law.origin["return"]
    monkeypatch.setattr(experts, "reinforce", None)
    assert experts.run(sizes, (), tmp_path).rows == result.rows


def test_every_law_in_the_package_has_its_search():
    from foresight.experts.feedback import known_laws

    assert set(known_laws()) == set(experts.SEARCHES)
