"""A robot of nobody's simulator: recorded, learned by chunks, loaded, acted with and judged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import foresight
from fake_robot import fake_robot
from foresight import cli
from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.data.dataset import Dataset
from foresight.envs.interface import spec_of
from foresight.envs.registry import EnvConfig
from foresight.perception.config import EncoderConfig
from foresight.perception.encode import encode_cameras
from foresight.perception.preprocess import Shift
from foresight.perception.stream import FeatureStream
from foresight.pipelines import imitation
from foresight.pipelines.acting import policy_of
from foresight.pipelines.imitation import Prepared, prepare_chunks, settled
from foresight.policies.chunk.config import NetworkConfig
from foresight.policies.chunk.policy import ChunkActing, ChunkFactory, ChunkPolicy, ensembled
from foresight.rollout import run_episodes
from foresight.training.chunk.demonstrations import Demonstrations
from foresight.training.chunk.train import Augmentation, ChunkTraining, train_chunk_policy
from foresight.training.loop import FitConfig
from made_once import made_once
from robots import ROBOT, Driver

SMALL = ["--chunk.fit.epochs", "2", "--chunk.fit.updates", "6",
         "--chunk.fit.batch", "8", "--chunk.network.width", "16", "--chunk.network.heads", "2",
         "--chunk.network.layers", "1", "--chunk.network.feedforward", "32",
         "--chunk.network.chunk", "4"]  # fmt: skip


class Slow(Driver):
    """Takes its time, so that there is something to see."""

    def act(self, observation: Observation) -> np.ndarray:
        return 0.4 * super().act(observation)


def run(*words) -> None:
    assert cli.main([str(word) for word in words]) == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_eyes):
    """``data``: six demonstrations of the fake robot; ``run``: a policy of chunks with goals."""

    def make(folder: Path) -> None:
        episodes = list(run_episodes(ROBOT, Slow, range(30, 36), max_steps=9))
        with Dataset.create(folder / "data", spec_of(fake_robot())) as data:
            for episode in episodes:
                data.append(episode)
        run("train", folder / "data", "--out", folder / "run", "--policy", "chunk", *SMALL,
            "--encoder", tiny_eyes,
            "--chunk.network.goal", "--chunk.network.state-history", "3", "--readout",
            "tubelet:stride=1")  # fmt: skip

    return made_once(tmp_path_factory, "imitation", make)


@pytest.fixture(scope="module")
def episode(made):
    return Dataset.open(made / "data").episode(0)


def seen(episode, t: int) -> Observation:
    images = {name: frames[t] for name, frames in episode.images.items()}
    return Observation(images, episode.state[t], episode.task, t / episode.fps)


def test_a_checkpoint_is_loaded_and_judged(made, tmp_path):
    policy = foresight.load(made / "run")
    assert isinstance(policy, ChunkPolicy) and policy.cameras == ("front", "wrist")
    assert policy.config.spec.difference(Dataset.open(made / "data").spec) is None
    errors = json.loads((made / "run" / "held-out.json").read_text())
    assert errors["methods"]["policy"]["joints"].keys() == {"action_0", "action_1"}
    out = tmp_path / "result.json"
    run("evaluate", made / "run", "--env", "fake_robot:FakeRobot", "--seeds", "2", "--steps", "5",
        "--workers", "1", "--baselines", "zero", "--out", out, "--chunk.execute", "2")  # fmt: skip
    conditions = {row["condition"] for row in foresight.evaluate(
        made / "run", "fake_robot:FakeRobot", episodes=1, max_steps=3).rows}  # fmt: skip
    assert conditions == {"policy", "zero", "random"}
    assert "chunk" in out.read_text()
    again = tmp_path / "again"
    policy.save(again)
    assert (again / "model.safetensors").read_bytes() == (
        made / "run" / "model.safetensors"
    ).read_bytes()


def test_live_chunks_are_those_of_the_dataset(made, tiny_eyes, episode):
    """What is decided live equals what the network says of the cached features."""
    policy = ChunkPolicy.load(made / "run")
    data = Dataset.open(made / "data")
    encoder, readout = EncoderConfig(tiny_eyes, policy.config.readout).load()
    caches = encode_cameras(data, encoder, readout, made / "cache", dtype="float16")
    assert all(cache.array.dtype == np.float16 for cache in caches.values())
    policy.reset(seen(episode, 0), 1)
    for t in range(4):
        chunk = policy.predict_action_chunk(seen(episode, t))
        batch = {
            f"tokens/{i}": torch.from_numpy(np.array(cache.array[t])).view(1, 16, -1)
            for i, cache in enumerate(caches.values())
        }
        past = [max(0, t - 2), max(0, t - 1), t]
        batch["state"] = torch.from_numpy(episode.state[past])[None]
        for i in range(2):
            batch[f"goal/{i}"] = policy.network.get_buffer(f"goals_{i}")[0, 1][None]
        expected = policy.network.predict(batch)[0].numpy().clip(data.spec.low, data.spec.high)
        np.testing.assert_allclose(chunk, expected, atol=1e-6)


def test_goals_are_last_pictures_of_training_demonstrations(made, tiny_eyes):
    policy = ChunkPolicy.load(made / "run")
    data = Dataset.open(made / "data")
    encoder, readout = EncoderConfig(tiny_eyes, policy.config.readout).load()
    cache = encode_cameras(data, encoder, readout, made / "cache", dtype="float16")["wrist"]
    ends = [cache.episode(i)[-1] for i in range(len(data))]
    held_out = json.loads((made / "run" / "held-out.json").read_text())["episodes"]
    for goal in policy.network.get_buffer("goals_1")[0]:
        found = [i for i, end in enumerate(ends) if np.array_equal(goal.flatten().numpy(), end)]
        assert len(found) == 1 and found[0] not in held_out
    observation = seen(data.episode(1), 0)
    policy.reset(observation, 0)
    plain = policy.predict_action_chunk(observation)
    policy.reset(observation, 0)
    policy.set_goal({name: 255 - picture for name, picture in observation.images.items()})
    assert not np.allclose(policy.predict_action_chunk(observation), plain)
    policy.reset(observation, 0)
    assert np.array_equal(policy.predict_action_chunk(observation), plain)


def chunks_of(folder, episode, steps: int) -> list[np.ndarray]:
    policy = ChunkPolicy.load(folder)
    policy.reset(seen(episode, 0), 0)
    return [policy.predict_action_chunk(seen(episode, t)) for t in range(steps)]


def test_some_actions_of_a_chunk_are_executed(made, episode):
    chunks = chunks_of(made / "run", episode, 7)
    policy = ChunkPolicy.load(made / "run", ChunkActing(execute=3))
    policy.reset(seen(episode, 0), 0)
    for t in range(7):
        np.testing.assert_allclose(
            policy.act(seen(episode, t)), chunks[t - t % 3][t % 3], atol=1e-6
        )
    assert ChunkPolicy.load(made / "run").execute == 2
    assert ChunkPolicy.load(made / "run", ChunkActing(execute=99)).execute == 4


def test_an_ensemble_averages_what_all_chunks_say(made, episode):
    chunks = chunks_of(made / "run", episode, 7)
    policy = ChunkPolicy.load(made / "run", ChunkActing(ensemble=0.2))
    policy.reset(seen(episode, 0), 0)
    for t in range(7):
        told = [chunks[i][t - i] for i in range(max(0, t - 3), t + 1)]
        np.testing.assert_allclose(policy.act(seen(episode, t)), ensembled(told, 0.2), atol=1e-6)


def test_blind_and_shuffled_cameras(made, episode):
    dark = replace(seen(episode, 3), images={k: v * 0 for k, v in seen(episode, 3).images.items()})
    found = {}
    for name, acting in (("seeing", None), ("blind", ChunkActing(blind=True)),
                         ("shuffled", ChunkActing(shuffle=True))):  # fmt: skip
        chunks = []
        for observation in (seen(episode, 3), dark):
            policy = ChunkPolicy.load(made / "run", acting)
            policy.reset(observation, 0)
            chunks.append(policy.predict_action_chunk(observation))
        found[name] = chunks
    assert np.array_equal(*found["blind"])
    assert not np.allclose(*found["seeing"])
    assert not np.allclose(found["seeing"][0], found["shuffled"][0])
    env = EnvConfig("fake_robot:FakeRobot")
    assert policy_of(str(made / "run"), env).method == "chunk"
    assert policy_of(str(made / "run"), env, chunk=ChunkActing(blind=True)).method == "blind"


def test_a_robot_that_does_not_fit_is_named(made, episode):
    spec = foresight.load(made / "run").config.spec
    with pytest.raises(ForesightError, match="decides 10 times a second, the other 20"):
        ChunkFactory(str(made / "run"))(replace(spec, fps=20))
    policy = ChunkPolicy.load(made / "run")
    with pytest.raises(ForesightError, match="told 3 numbers of state"):
        policy.act(replace(seen(episode, 0), state=np.zeros(3, np.float32)))
    with pytest.raises(ForesightError, match="no picture of camera 'wrist'"):
        policy.act(replace(seen(episode, 0), images={"front": episode.images["front"][0]}))
    config = replace(policy.config, encoder_fingerprint="other")
    policy.config = config
    policy._streams = None
    with pytest.raises(ForesightError, match="was trained on encoder"):
        policy.act(seen(episode, 0))


@pytest.mark.parametrize("readout", ["tubelet", "tubelet:stride=0", "last:window=4", "difference"])
def test_a_step_that_is_skipped_is_remembered(episode, tiny_eyes, readout):
    eyes = EncoderConfig(tiny_eyes, readout)
    encoder, settings = eyes.load()
    frames = episode.images["front"][:5]
    stream = FeatureStream(encoder, settings)
    for t in range(4):
        stream.skip(frames[t])
    np.testing.assert_array_equal(stream.push(frames[4]), stream.episode(frames)[4])


def test_shifted_copies_have_caches_of_their_own(made, tiny_eyes, tmp_path):
    data = Dataset.open(made / "data")
    encoder, readout = EncoderConfig(tiny_eyes).load()
    frames = data.frames(2, "front")
    stream = FeatureStream(encoder, readout)
    shift = Shift(4, 1)
    one, two = (
        encode_cameras(data, encoder, readout, tmp_path, ["front"], shift=s)["front"]
        for s in (None, shift)
    )
    assert one.path != two.path
    prepared = stream.prepare(frames)
    np.testing.assert_array_equal(two.episode(2), stream.episode(shift(prepared, 2)))
    moved = {tuple(shift(prepared[:1], e)[0, 8:-8, 8:-8].flatten()) for e in range(5)}
    assert len(moved) > 1
    assert np.array_equal(shift(prepared, 2), shift(prepared, 2))


def test_shifts_and_stills(made, tiny_eyes, tmp_path):
    words = ["train", made / "data", "--out", tmp_path / "a", "--policy", "chunk", *SMALL,
             "--encoder", tiny_eyes, "--cameras", "wrist",
             "--chunk.augment.shifts", "1", "--chunk.augment.still", "0.3",
             "--chunk.network.head", "flow", "--chunk.network.no-state", "--cache",
             tmp_path / "cache"]  # fmt: skip
    assert cli.main([str(word) for word in words]) == 2  # still pictures have no stills
    run(*words, "--readout", "tubelet:stride=1")
    assert len(list((tmp_path / "cache").iterdir())) == 3
    config = foresight.load(tmp_path / "a").config
    assert (config.states, config.network.head, len(config.cameras)) == (0, "flow", 1)


def test_where_goals_alone_say_which_task_is_meant_each_task_has_its_own(
    made, tiny_eyes, tmp_path, monkeypatch
):
    load = Demonstrations.load

    def two_tasks(*words) -> Demonstrations:
        data = load(*words)
        return replace(data, task=torch.arange(len(data.task)) % 2, tasks=("push", "pull"))

    monkeypatch.setattr(imitation.Demonstrations, "load", two_tasks)
    net = NetworkConfig(chunk=4, width=16, layers=1, feedforward=32, goal=True, task=False)
    fit = FitConfig(epochs=1, updates=1, batch=8)
    data, eyes = Dataset.open(made / "data"), EncoderConfig(tiny_eyes, "tubelet:stride=1")

    def prepared(network: NetworkConfig) -> Prepared:
        training = ChunkTraining(network=network, fit=fit)
        return prepare_chunks(data, eyes, training, made / "cache")

    assert prepared(replace(net, task=True)).config.goal_tasks == ()
    assert prepared(replace(net, goal=False)).config.goal_tasks == ()
    shown = prepared(net)
    assert shown.config.goal_tasks == ("push", "pull") and shown.config.tasks == ()
    train_chunk_policy(*shown, tmp_path)
    policy, episode = ChunkPolicy.load(tmp_path), data.episode(0)
    for index, task in enumerate(shown.data.tasks):
        policy.reset(seen(episode, 0), 1)
        goal = policy.inputs(replace(seen(episode, 0), task=task))["goal/0"][0].flatten()
        ends = [int(shown.data.offsets[e + 1]) - 1 for e in shown.data.shown_by_task()[index]]
        found = [torch.equal(goal, shown.data.features[0][0][end]) for end in ends]
        assert found.count(True) == 1
    with pytest.raises(ForesightError, match="'dance' was not among those"):
        policy.inputs(replace(seen(episode, 0), task="dance"))
    policy.set_goal(seen(episode, 1).images)  # then nobody has to know the task
    assert "goal/0" in policy.inputs(replace(seen(episode, 0), task="dance"))


def test_the_source_head_brings_its_readout_and_augmentation():
    training, eyes = settled(ChunkTraining("source-head"), EncoderConfig())
    assert eyes.readout == "last:grid=8,window=16"
    assert training.augment.noise == 0.05 and training.network.chunk == 50
    plain = ChunkTraining("source-head", augment=Augmentation(noise=0.2))
    training, eyes = settled(plain, EncoderConfig(readout="last:grid=8,window=4"))
    assert (training.augment, eyes.readout) == (plain.augment, "last:grid=8,window=4")
    training, eyes = settled(ChunkTraining(), EncoderConfig())
    assert (training, eyes.readout) == (ChunkTraining(), "tubelet:grid=8,stride=0")
    small = ChunkTraining(network=NetworkConfig(convolution=0))
    fit = replace(small.fit, dtype="float32")
    assert settled(small, EncoderConfig())[0] == replace(small, fit=fit)


def test_a_transformer_learns_in_what_the_hardware_computes_in():
    auto, _ = settled(ChunkTraining("transformer"), EncoderConfig())
    own = ChunkTraining("transformer", fit=replace(auto.fit, dtype="float32"))
    assert auto.fit.dtype == "auto" and settled(own, EncoderConfig())[0].fit.dtype == "float32"
