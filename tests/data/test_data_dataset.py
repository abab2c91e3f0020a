from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foresight.core.episode import Episode
from foresight.core.errors import ForesightError
from foresight.core.spec import Spec, numbered_axes
from foresight.data.dataset import Dataset
from foresight.data.encoding import encode_episode
from made_up import tree

SPEC = Spec(
    {"front": (16, 20), "wrist": (12, 12)},
    numbered_axes("joint", 3),
    numbered_axes("motor", 1, [-1.0], [1.0]),
    30.0,
)


def lived(seed: int, steps: int = 6, **changes) -> Episode:
    """An episode of two cameras with everything that an episode may have."""
    rng = np.random.default_rng([seed, steps])

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=(steps, *shape)).astype(np.float32)

    episode = Episode(
        images={
            name: rng.integers(0, 256, (steps, *size, 3), np.uint8)
            for name, size in SPEC.cameras.items()
        },
        state=normal(3),
        action=normal(1),
        reward=normal(),
        terminated=seed % 2 == 1,
        task=f"task {seed % 3}",
        fps=30.0,
        success=seed % 2 == 0,
        columns={
            "sim.state": rng.normal(size=(steps, 4)),
            "action.expert": np.full((steps, 1), np.nan, np.float32),
            "level": np.arange(steps),
            "contact": rng.random((steps, 2)) > 0.5,
            "grid": normal(2, 3),
        },
        info={"seed": seed, "policy": "random", "protocol": {"repeat": 2}},
    )
    return replace(episode, **changes)


def assert_equal(a: Episode, b: Episode) -> None:
    assert list(a.images) == list(b.images)
    for name in a.images:
        assert np.array_equal(a.images[name], b.images[name])
    assert set(a.columns) == set(b.columns)
    pairs = [(a.columns[name], b.columns[name]) for name in a.columns]
    for x, y in [*pairs, (a.state, b.state), (a.action, b.action), (a.reward, b.reward)]:
        if x is None or y is None:
            assert x is y
            continue
        assert x.dtype == y.dtype
        assert np.array_equal(x, y, equal_nan=x.dtype.kind == "f")
    for name in ("terminated", "task", "fps", "success", "info"):
        assert getattr(a, name) == getattr(b, name)


def fill(path, seeds, spec=SPEC, **changes) -> Dataset:
    with Dataset.open_or_create(path, spec) as dataset:
        for seed in seeds:
            dataset.append(lived(seed, 4 + seed, **changes))
    return dataset


def test_episodes_come_back_as_they_were(tmp_path):
    dataset = fill(tmp_path / "d", range(4))
    again = Dataset.open(tmp_path / "d")
    assert again.folded
    assert again.lengths == [4, 5, 6, 7]
    assert again.tasks == ["task 0", "task 1", "task 2"]
    assert SPEC.difference(again.spec) is None
    assert again.spec.low == pytest.approx([-1])
    for source in (dataset, again):
        for i in range(4):
            assert_equal(source.episode(i), lived(i, 4 + i))
    assert again.fingerprint == dataset.fingerprint
    assert again.column("level").shape == (22,)
    assert again.column("contact").shape == (22, 2)
    assert again.column("next.terminated").sum() == 2
    assert np.flatnonzero(again.column("next.done")).tolist() == (again.offsets[1:] - 1).tolist()
    part = again.frames(2, "wrist", 1, -2)
    assert np.array_equal(part, lived(2, 6).images["wrist"][1:-2])


@pytest.mark.parametrize(
    "changes",
    [
        {"reward": None, "success": None, "columns": {}},
        {"images": {}},
        {"state": np.empty((4, 0), np.float32)},
    ],
)
def test_nothing_but_an_action_is_needed(tmp_path, changes):
    spec = SPEC
    if "images" in changes:
        spec = replace(spec, cameras={})
    if "state" in changes:
        spec = replace(spec, state=())
    episode = lived(0, 4, **changes)
    with Dataset.create(tmp_path / "d", spec) as dataset:
        dataset.append(episode)
    assert_equal(Dataset.open(tmp_path / "d").episode(0), episode)


def test_sessions_and_processes_do_not_show_in_the_files(tmp_path):
    fill(tmp_path / "a", range(4))
    with Dataset.create(tmp_path / "b", SPEC) as dataset:
        for seed in range(2):
            dataset.append(encode_episode(lived(seed, 4 + seed)))
    fill(tmp_path / "b", range(2, 4))
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


@pytest.mark.parametrize("codec", ["av1", "h264"])
def test_frames_in_small_files_for_real_cameras(tmp_path, codec):
    grey = np.linspace(20, 220, 16 * 20 * 3).reshape(16, 20, 3)
    frames = np.stack([grey + 2 * t for t in range(6)]).astype(np.uint8)
    spec = replace(SPEC, cameras={"front": (16, 20)})
    with Dataset.create(tmp_path / "d", spec, codec=codec) as dataset:
        dataset.append(lived(0, images={"front": frames}))
    again = Dataset.open(tmp_path / "d")
    assert again.schema.codec == codec
    assert np.abs(again.frames(0).astype(int) - frames).mean() < 6
    with again, pytest.raises(ForesightError, match=r"15x20.*even"):
        again.append(lived(0, images={"front": frames[:, :15]}))


@pytest.mark.wrong_arrays
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"images": {"front": np.zeros((6, 16, 20, 3), np.uint8)}}, "cameras front but .* wrist"),
        ({"action": np.zeros((6, 2), np.float32)}, "2 numbers of action but .* has 1"),
        ({"state": np.zeros((6, 2), np.float32)}, "2 numbers of state but .* has 3"),
        ({"fps": 25.0}, "25 steps a second but .* 30"),
        ({"reward": None}, r"next\.reward and .* has not"),
        ({"success": None}, r"next\.success and .* has not"),
        ({"columns": {}}, r"sim\.state and .* has not"),
        ({"action": np.full((6, 1), np.inf, np.float32)}, "action .* inf at step 0, number 0"),
        ({"state": np.full((6, 3), np.nan, np.float32)}, "state .* nan at step 0, number 0"),
        ({"columns": {"sim.state": np.full((6, 4), np.nan)}}, r"sim\.state .* nan"),
        ({"columns": {"timestamp": np.zeros(6)}}, "cannot be called 'timestamp'"),
        ({"info": {"seed": float("nan")}}, "info .* cannot be stored"),
        ({"reward": np.zeros(5, np.float32)}, "differ in length"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(tmp_path, changes, says):
    dataset = fill(tmp_path / "d", [0])
    before = tree(tmp_path / "d")
    with dataset, pytest.raises(ForesightError, match=says):
        dataset.append(lived(1, **changes))
    assert tree(tmp_path / "d") == before


def test_an_open_dataset_may_go_on_after_it_let_the_folder_go(tmp_path):
    dataset = fill(tmp_path / "d", [0], info={"seed": np.int64(3), "noise": (0.1, 0.2)})
    with dataset:
        dataset.append(lived(1))
    assert Dataset.open(tmp_path / "d").metas[0].info == {"seed": 3, "noise": [0.1, 0.2]}


def test_another_spec_is_named(tmp_path):
    fill(tmp_path / "d", [0])
    with pytest.raises(ForesightError, match="camera 'front' has 8x8 pixels"):
        Dataset.open_or_create(
            tmp_path / "d", replace(SPEC, cameras={"front": (8, 8), "wrist": (12, 12)})
        )
    with pytest.raises(ForesightError, match="written as lossless, not as av1"):
        Dataset.open_or_create(tmp_path / "d", SPEC, codec="av1")
    with pytest.raises(ForesightError, match="no codec 'mjpeg'"):
        Dataset.create(tmp_path / "e", SPEC, codec="mjpeg")


def test_wrong_questions(tmp_path):
    dataset = fill(tmp_path / "d", [0])
    with pytest.raises(ForesightError, match=r"no column 'reward'.*next\.reward"):
        dataset.column("reward")
    with pytest.raises(ForesightError, match="cameras front, wrist: choose"):
        dataset.frames(0)
    with pytest.raises(ForesightError, match="no episode 1"):
        dataset.episode(1)
    assert dataset.has("sim.state")
    assert not dataset.has("observation.images.front")
