"""The corpus: what it is made of, and that a small piece of it is collected and resumed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from foresight.envs.dmc.environment import DMControlEnv
from foresight.envs.dmc.scenes import draw_scene, scene_labels
from foresight.envs.dmc.tasks import MEASURED_TASKS
from foresight.rollout.collect import collect
from studies import corpus
from studies.corpus import FIRST_SEED, WANDERING, Part, collect_scenes, parts


def test_parts_cover_the_source_tasks_and_six_more_in_every_way():
    found = list(parts())
    tasks = {part.task for part in found}
    assert set(MEASURED_TASKS) <= tasks
    assert len(tasks) >= len(MEASURED_TASKS) + 6
    assert len({part.name for part in found}) == len(found)
    assert {part.look for part in found} == {"plain", "varied"}
    for task in tasks:
        own = [part for part in found if part.task == task]
        assert {part.camera for part in own} == {0, 1}
        assert own[0].look == "plain"  # what a running probe reads
        most = DMControlEnv(task, render=None).physics.model.ncam
        assert all(part.camera < most for part in own)
    behaviours = {name for part in found for name in part.behaviours}
    assert {"random", "ar1:0.9", "expert", "oracle"} <= behaviours


def test_scale_multiplies_the_episodes_and_leaves_one():
    whole, half, none = (list(parts(scale)) for scale in (1.0, 0.5, 0.0))
    assert [part.name for part in whole] == [part.name for part in half]
    assert all(two.episodes == one.episodes // 2 for one, two in zip(whole, half, strict=True))
    assert {part.episodes for part in none} == {1}


def test_no_two_episodes_of_a_task_begin_alike(tmp_path, monkeypatch):
    plans, scenes = {}, []

    def collect_nothing(path, specs, workers):
        plans[path] = specs
        return SimpleNamespace(path=path)

    def render_nothing(*arguments):
        scenes.append(arguments)
        return SimpleNamespace(path=arguments[0])

    monkeypatch.setattr(corpus, "collect", collect_nothing)
    monkeypatch.setattr(corpus, "collect_scenes", render_nothing)
    stores = corpus.collect_corpus(tmp_path, size=32, scale=2.0)
    names = [store.path.name for store in stores]
    assert names[:8] == [f"{task}-camera0-plain" for task in MEASURED_TASKS]
    assert names[8:] == sorted(names[8:]) and "scenes" in names
    seeds = [spec.seed for specs in plans.values() for spec in specs]
    assert len(set(seeds)) == len(seeds) == sum(part.episodes for part in parts(2.0))
    assert min(seeds) >= FIRST_SEED
    assert {path.parent for path in plans} == {tmp_path}
    assert scenes == [(tmp_path / "scenes", 5000, 32)]
    for specs in plans.values():
        assert len({spec.env for spec in specs}) == 1
        assert (specs[0].env.size, specs[0].env.quality) == (32, "smooth")


def test_a_part_is_collected_with_its_behaviours_in_turn(tmp_path):
    part = Part("cartpole-swingup", 1, "varied", 3, WANDERING, 4)
    assert part.name == "cartpole-swingup-camera1-varied"
    store = collect(tmp_path / part.name, part.specs(16, FIRST_SEED), 1)
    assert store.lengths == [4, 4, 4]
    assert list(store.spec.cameras.values()) == [(16, 16)]
    assert [meta.info["policy"] for meta in store.metas] == ["ar1:0.9", "random", "ar1:0.97"]
    assert [meta.info["seed"] - FIRST_SEED for meta in store.metas] == [0, 1, 2]
    assert not np.array_equal(store.frames(0), store.frames(1))


def test_scenes_resume_where_they_stopped(tmp_path):
    whole = collect_scenes(tmp_path / "whole", 5, 32)
    collect_scenes(tmp_path / "piecewise", 2, 32)
    pieces = collect_scenes(tmp_path / "piecewise", 5, 32)
    assert len(collect_scenes(tmp_path / "piecewise", 5, 32)) == 5
    assert pieces.fingerprint == whole.fingerprint
    assert whole.lengths == [corpus.SCENE_FRAMES] * 5
    assert whole.tasks == ["scenes"]
    for i in range(5):
        episode = whole.episode(i)
        scene = draw_scene(FIRST_SEED, i, corpus.SCENE_FRAMES)
        frames = episode.images["camera"]
        assert frames.shape == (8, 32, 32, 3)
        assert (frames[0] != frames[-1]).any()
        assert np.allclose(episode.state, scene_labels(scene), atol=1e-6)
