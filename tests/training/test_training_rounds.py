"""Rounds are read as they were written, whole or in parts."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from foresight.core.errors import ForesightError
from foresight.training.rounds import read_parts, read_round, round_files


def test_rounds_are_read_in_order_and_whole(tiny_learned):
    files = round_files(tiny_learned / "model")
    assert [file.name for file in files] == [f"{number:05}.safetensors" for number in range(4)]
    rolled, expected = read_round(files[1]), load_file(files[1])
    assert vars(rolled).keys() == expected.keys()
    for name, value in vars(rolled).items():
        torch.testing.assert_close(value, expected[name], equal_nan=True, rtol=0, atol=0)


def test_parts_come_in_the_order_asked_for(tmp_path):
    path = tmp_path / "00000.safetensors"
    save_file({"rewards": torch.ones(2, 3), "actions": torch.zeros(2, 3, 1)}, path)
    actions, rewards = read_parts(path, "actions", "rewards")
    assert actions.shape == (2, 3, 1) and rewards.shape == (2, 3)


def test_a_missing_damaged_or_foreign_round_is_one_sentence(tmp_path):
    damaged, foreign = tmp_path / "damaged.safetensors", tmp_path / "foreign.safetensors"
    damaged.write_bytes(b"no")
    save_file({"rewards": torch.ones(2, 3)}, foreign)
    for path in (tmp_path / "absent.safetensors", damaged, foreign):
        with pytest.raises(ForesightError, match=rf"{path.name} cannot be read as a round"):
            read_round(path)
    assert round_files(tmp_path) == []
