"""Checkpoints say what they are, and what is wrong with them."""

import json

import pytest
import torch
from torch import nn

from foresight.core import checkpoint
from foresight.core.checkpoint import (
    building,
    load,
    load_weights,
    read_header,
    register_type,
    save_checkpoint,
)
from foresight.core.errors import ForesightError
from foresight.core.spec import Axis, Spec

SPEC = Spec({"front": (48, 64)}, (Axis("joint", "rad"),), (Axis("torque", low=-1, high=1),), 15.0)


def load_line(folder):
    """The loader of the type that these tests register."""
    header = read_header(folder, "test-line")
    with building(header):
        module = nn.Linear(header.config["inputs"], header.config["outputs"])
    load_weights(module, folder)
    return module


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr(checkpoint, "_TYPES", dict(checkpoint._TYPES))
    register_type("test-line", f"{__name__}:load_line", noun="a line")


@pytest.fixture
def saved(tmp_path):
    folder = tmp_path / "line"
    line = nn.Linear(3, 2)
    config = {"inputs": 3, "outputs": 2}
    save_checkpoint(folder, "test-line", config, line, SPEC, {"dataset": "abc"})
    return folder, line


def test_what_is_saved_comes_back_by_its_type_alone(saved):
    folder, line = saved
    header = read_header(folder)
    assert (header.type, header.version) == ("test-line", 1)
    assert header.spec == SPEC and header.fingerprints == {"dataset": "abc"}
    x = torch.randn(4, 3)
    torch.testing.assert_close(load(folder)(x), line(x))


def test_every_loader_that_is_registered_exists():
    from importlib import import_module

    for kind in checkpoint.checkpoint_types().values():
        module, _, name = kind.loader.partition(":")
        found = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        assert callable(found)


def test_a_checkpoint_of_another_type_is_named(saved):
    with pytest.raises(ForesightError, match="holds a line and a world model was expected"):
        read_header(saved[0], "world-model")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 7}, "of version 7 and this program reads version 1"),
        ({"type": "martian"}, "its type 'martian' is unknown here; known are ac-predictor"),
        ({"type": None}, "does not say of what type it is"),
        ({"config": {"inputs": 3}}, r"not the configuration of a line \('outputs'\)"),
        ({"config": {"inputs": 3, "outputs": 5}}, r"weight as \[2, 3\] where \[5, 3\]"),
        ({"spec": {"cameras": 1}}, "is no description of a robot"),
    ],
)
def test_a_header_that_says_something_else_is_one_sentence(saved, change, words):
    path = saved[0] / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ForesightError, match=words):
        load(saved[0])


def test_files_that_are_missing_or_cut_are_named(saved, tmp_path):
    folder, _ = saved
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-10])
    with pytest.raises(ForesightError, match="truncated or damaged"):
        load(folder)
    weights.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n")
    with pytest.raises(ForesightError, match="git-lfs pointer"):
        load(folder)
    weights.unlink()
    with pytest.raises(ForesightError, match="has lost its weights"):
        load(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ForesightError, match="so it is no checkpoint"):
        load(folder)
    with pytest.raises(ForesightError, match="There is no folder"):
        load(tmp_path / "nowhere")


def test_a_type_has_one_loader():
    register_type("test-line", f"{__name__}:load_line", noun="a line")  # the same again
    with pytest.raises(ForesightError, match="are loaded by"):
        register_type("test-line", "elsewhere:load", noun="a line")
    with pytest.raises(ForesightError, match="module:attribute"):
        register_type("other", "elsewhere", noun="another")
    with pytest.raises(ForesightError, match="type 'unheard' is unknown"):
        save_checkpoint("somewhere", "unheard", {}, nn.Linear(1, 1))
