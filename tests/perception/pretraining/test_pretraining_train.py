"""The loop: it learns, resumes exactly, says what goes wrong, and runs on several processes."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_pretraining import make_dataset, squares, tiny_config

from foresight import load_encoder
from foresight.core.errors import ForesightError
from foresight.core.metrics import curve, read_metrics
from foresight.perception.export import save_encoder
from foresight.perception.preprocess import normalise
from foresight.perception.pretraining import train
from foresight.perception.pretraining.config import Weights
from foresight.perception.pretraining.frames import FrameBank
from foresight.perception.pretraining.train import STATE, pretrain


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("stores") / "squares", squares, [20] * 12)


@pytest.fixture(scope="module")
def bank(data, tmp_path_factory):
    return FrameBank([data], tmp_path_factory.mktemp("bank"))


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """fp32 on every machine."""
    monkeypatch.setattr(train, "default_dtype", lambda device: torch.float32)


def logged(folder):
    return read_metrics(folder / "metrics.jsonl")


def kill_at(monkeypatch, step):
    real = train._Training._update

    def update(self, progress):
        if self.step == step:
            raise KeyboardInterrupt
        return real(self, progress)

    monkeypatch.setattr(train._Training, "_update", update)


def equal(one, two):
    return one.keys() == two.keys() and all(value.equal(two[name]) for name, value in one.items())


def test_the_loss_falls_and_collapse_would_be_seen(bank, tmp_path):
    config = tiny_config(
        updates=80, batch=16, lr=3e-3, probe_every=40, loss=Weights(latent=1.0, pixels=1.0)
    )
    pretrain(bank, config, tmp_path)
    rows = logged(tmp_path)
    assert [row["step"] for row in rows] == list(range(1, 81))
    for name in ("loss", "latent", "pixels"):
        _, values = curve(rows, name)
        assert np.mean(values[-10:]) < 0.9 * np.mean(values[:10]), name
    for row in rows:
        assert row["loss"] == pytest.approx(row["latent"] + row["pixels"], rel=1e-5)
        assert 0 < row["target_spread"] <= 1.5
        assert 1 <= row["target_rank"] <= 24
        assert row["gradient"] > 0
    steps, probes = curve(rows, "probe")
    assert steps == [40, 80]
    assert curve(rows, "probe/reacher-easy")[1] == probes
    assert all(math.isfinite(value) and value <= 1 for value in probes)


def test_the_rate_warms_up_and_then_falls_along_a_cosine(bank, tmp_path):
    pretrain(bank, tiny_config(updates=10, lr=1e-3, warmup=0.3), tmp_path)
    found = [row["lr"] for row in logged(tmp_path)]
    expected = [1e-5, 1e-3 / 3, 2e-3 / 3]
    for step in range(3, 10):
        share = 0.5 * (1 + math.cos(math.pi * (step / 10 - 0.3) / 0.7))
        expected.append(1e-3 * (0.01 + 0.99 * share))
    assert found == pytest.approx(expected)


def test_the_momentum_rises_from_the_first_to_the_last(bank, tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(train.Target, "follow", lambda *arguments: found.append(arguments[2]))
    pretrain(bank, tiny_config(updates=4, momentum=(0.9, 1.0)), tmp_path)
    expected = [1 - 0.1 * 0.5 * (1 + math.cos(math.pi * done)) for done in (0, 0.25, 0.5, 0.75)]
    assert found == pytest.approx(expected)


def test_without_latent_terms_the_target_is_not_run(bank, tmp_path, monkeypatch):
    monkeypatch.setattr(train.Target, "__call__", lambda *_: pytest.fail("the target was run"))
    pretrain(bank, tiny_config(updates=2, loss=Weights(latent=0.0, pixels=1.0)), tmp_path)
    assert "target_rank" not in logged(tmp_path)[0]


def test_a_training_starts_from_a_trained_encoder(bank, tmp_path):
    first = pretrain(bank, tiny_config(updates=3), tmp_path / "first")
    save_encoder(tmp_path / "first", first.state_dict(), first.config)
    config = tiny_config(updates=1, lr=1e-12, init=str(tmp_path / "first"))
    second = pretrain(bank, config, tmp_path / "second")
    for name, value in second.state_dict().items():
        torch.testing.assert_close(value, first.state_dict()[name], atol=1e-6, rtol=0)
    other = tiny_config(updates=1, depth=first.config.depth + 1, init=str(tmp_path / "first"))
    with pytest.raises(ForesightError, match=r"depth \d instead of \d"):
        pretrain(bank, other, tmp_path / "third")


def test_a_killed_training_resumed_ends_at_the_same_weights(bank, tmp_path, monkeypatch):
    config = tiny_config(updates=8, save_every=3, loss=Weights(dense=0.5))
    whole = pretrain(bank, config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        kill_at(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            pretrain(bank, config, tmp_path / "killed")
    assert [row["step"] for row in logged(tmp_path / "killed")] == [1, 2, 3, 4, 5]
    resumed = pretrain(bank, config, tmp_path / "killed")
    assert equal(whole.state_dict(), resumed.state_dict())
    # Trained half and optimizer too, and no step is logged twice or otherwise.
    assert equal(*(load_file(tmp_path / name / STATE) for name in ("whole", "killed")))
    for one, two in zip(*(logged(tmp_path / name) for name in ("whole", "killed")), strict=True):
        assert {**one, "seconds": 0} == {**two, "seconds": 0}
    # And a finished one is only read.
    kill_at(monkeypatch, 8)
    assert equal(whole.state_dict(), pretrain(bank, config, tmp_path / "killed").state_dict())


def test_settings_that_change_nothing_may_differ_in_a_resumed_training(bank, tmp_path):
    pretrain(bank, tiny_config(updates=2), tmp_path)
    pretrain(bank, tiny_config(updates=2, save_every=7, log_every=2), tmp_path)


@pytest.mark.parametrize("changes", [{"updates": 3}, {"lr": 1e-4}, {"seed": 1}, {"dim": 48}])
def test_another_training_in_the_same_folder_is_refused(bank, tmp_path, changes):
    pretrain(bank, tiny_config(updates=2), tmp_path)
    with pytest.raises(ForesightError, match="belongs to a training with other data or settings"):
        pretrain(bank, tiny_config(**{"updates": 2, **changes}), tmp_path)


def test_other_data_in_the_same_folder_are_refused(bank, data, tmp_path):
    pretrain(bank, tiny_config(updates=1), tmp_path)
    twice = FrameBank([data, data], tmp_path / "frames")
    with pytest.raises(ForesightError, match="other data or settings"):
        pretrain(twice, tiny_config(updates=1), tmp_path)


def test_a_damaged_state_and_a_file_for_a_folder_are_refused(bank, tmp_path):
    (tmp_path / STATE).write_bytes(b"no weights at all")
    with pytest.raises(ForesightError, match=r"cannot be read.*delete it to train anew"):
        pretrain(bank, tiny_config(), tmp_path)
    with pytest.raises(ForesightError, match="Cannot write"):
        pretrain(bank, tiny_config(), tmp_path / STATE)


def test_a_diverged_training_stops_with_one_sentence_and_finite_weights(bank, tmp_path):
    config = tiny_config(updates=50, lr=1e30, warmup=0.0, save_every=1, clip=1e30)
    with pytest.raises(ForesightError, match=r"Update \d+ has a loss of .* lower the learning"):
        pretrain(bank, config, tmp_path)
    tensors = load_file(tmp_path / STATE)
    assert all(value.isfinite().all() for value in tensors.values())


def test_a_training_by_the_clock_ends_and_resumes_with_what_is_left(bank, tmp_path):
    config = tiny_config(updates=None, minutes=0.01)
    pretrain(bank, config, tmp_path)
    rows = logged(tmp_path)
    assert rows[-1]["seconds"] >= 0.6 > rows[-2]["seconds"]
    assert rows[-1]["progress"] < 1.0
    pretrain(bank, config, tmp_path)
    assert len(logged(tmp_path)) == len(rows)


def test_the_written_encoder_is_the_target(bank, tmp_path):
    target = pretrain(bank, tiny_config(updates=3), tmp_path)
    held = {
        name.removeprefix("target/"): value
        for name, value in load_file(tmp_path / STATE).items()
        if name.startswith("target/")
    }
    assert equal(target.state_dict(), held)
    save_encoder(tmp_path, target.state_dict(), target.config)
    encoder = load_encoder(tmp_path, dtype="float32")
    clip = torch.from_numpy(bank.frames[:8].reshape(2, 4, 16, 16, 3).copy())
    tokens = encoder.encode(clip).flatten(1, 3)
    torch.testing.assert_close(tokens, target(normalise(clip)), atol=2e-5, rtol=1e-4)


def test_unfit_frames_devices_and_shapes_are_refused(bank, tmp_path):
    with pytest.raises(ForesightError, match="16x16 pixels do not fit patches of 5"):
        pretrain(bank, tiny_config(patch=5), tmp_path)
    for name in ("gpu", "cuda:77"):
        with pytest.raises(ForesightError, match=f"device '{name}' is not available"):
            pretrain(bank, tiny_config(device=name), tmp_path)
    with pytest.raises(ForesightError, match="1 token cannot be masked"):
        pretrain(bank, tiny_config(patch=16, frames=(2,)), tmp_path)


WORKERS = """
import os, shutil, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
sys.path.insert(0, sys.argv[1])
from tiny_pretraining import tiny_config
from foresight.data.dataset import Dataset
from foresight.perception.pretraining import train
from foresight.perception.pretraining.frames import FrameBank

torch.set_num_threads(1)
train.default_dtype = lambda device: torch.float32
data, folder = Path(sys.argv[2]), Path(sys.argv[3])
store = train._State.store

def watched(self, step, seconds):
    store(self, step, seconds)
    (folder / f"saved-{step}-by-{os.environ['RANK']}").touch()
    if step == 2:
        shutil.copy(self.path, folder / "early.safetensors")

def work(name):
    bank = FrameBank([Dataset.open(data)], folder / "frames")
    encoder = train.pretrain(bank, tiny_config(updates=4, save_every=2), folder / name)
    save_file(encoder.state_dict(), folder / f"{name}-{os.environ['RANK']}.safetensors")
    os._exit(0)

def both(name, port):  # forks of a process that has only imported, with torchrun's variables
    os.environ |= {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for rank in ("0", "1"):
        os.environ |= {"RANK": rank, "LOCAL_RANK": rank}
        if os.fork() == 0:
            work(name)
    assert [os.wait()[1], os.wait()[1]] == [0, 0]

train._State.store = watched
both("whole", sys.argv[4])
(folder / "killed").mkdir()
(folder / "early.safetensors").rename(folder / "killed" / train.STATE)
train._State.store = store
both("killed", sys.argv[5])
"""


def free_ports(count):
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [str(each.getsockname()[1]) for each in sockets]


@pytest.mark.slow
def test_two_processes_end_alike_save_once_and_resume(data, tmp_path):
    script = tmp_path / "workers.py"
    script.write_text(WORKERS)
    words = [str(script), str(Path(__file__).parent), str(data.path), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, *words, *free_ports(2)],
        env=os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    names = [f"{name}-{rank}.safetensors" for name in ("whole", "killed") for rank in (0, 1)]
    one, *others = [load_file(tmp_path / name) for name in names]
    assert all(equal(one, other) for other in others)
    saved = sorted(path.name for path in tmp_path.glob("saved-*"))
    assert saved == ["saved-2-by-0", "saved-4-by-0"]
    assert [row["step"] for row in logged(tmp_path / "whole")] == [1, 2, 3, 4]
    assert [row["step"] for row in logged(tmp_path / "killed")] == [3, 4]
