"""LeRobot itself, no stand-in: it finds the plugin, acts with it, reads and writes the data."""

import json
import re
import shutil
import sys
from dataclasses import dataclass, field

import gymnasium as gym
import numpy as np
import pytest
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.datasets.lerobot_dataset import LeRobotDataset, LeRobotDatasetMetadata
from lerobot.envs.configs import EnvConfig
from lerobot.policies.factory import get_policy_class, make_policy, make_pre_post_processors
from lerobot.scripts import lerobot_eval
from lerobot.utils.control_utils import predict_action
from lerobot.utils.import_utils import register_third_party_plugins
from safetensors.torch import load_file, save_file

from conftest import CAMERAS, SPEC, TASKS, episode, write
from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.data.dataset import Dataset
from foresight.policies.chunk.policy import ChunkActing, ChunkPolicy

KNOWN_BEFORE = "foresight" in PreTrainedConfig.get_known_choices()
register_third_party_plugins()

from lerobot_policy_foresight import export as command  # noqa: E402
from lerobot_policy_foresight.modeling_foresight import observations  # noqa: E402

ACTING = [(0, None), (5, None), (0, 0.01)]


@pytest.fixture(scope="session")
def folder(checkpoint, tmp_path_factory):
    return command.export(checkpoint, tmp_path_factory.mktemp("exported") / "policy")


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def configured(folder, **changes) -> PreTrainedConfig:
    config = PreTrainedConfig.from_pretrained(
        folder, cli_overrides=[f"--{name}={value}" for name, value in changes.items()]
    )
    config.pretrained_path = folder
    return config


def loaded(folder, dataset, **changes):
    """As LeRobot's programs load a policy and its processors."""
    config = configured(folder, **changes)
    meta = LeRobotDatasetMetadata("made/up", dataset.path)
    policy = make_policy(config, ds_meta=meta)
    before, after = make_pre_post_processors(config, str(folder), dataset_stats=meta.stats)
    return policy, before, after


def own(checkpoint, seed=0, execute=0, ensemble=None) -> ChunkPolicy:
    policy = ChunkPolicy.load(checkpoint, ChunkActing(execute, ensemble))
    policy.reset(Observation(), seed)
    return policy


def shown(dataset, index) -> list[Observation]:
    found = dataset.episode(index)
    return [
        Observation({name: f[t] for name, f in found.images.items()}, found.state[t], found.task)
        for t in range(len(found.action))
    ]


def batch_of(*seen: Observation) -> dict:
    """As LeRobot gives it: pictures in 0..1, channels first."""
    batch = {
        f"observation.images.{name}": torch.stack(
            [torch.from_numpy(one.images[name].copy()).permute(2, 0, 1) / 255 for one in seen]
        )
        for name in seen[0].images
    }
    batch["observation.state"] = torch.stack([torch.from_numpy(one.state.copy()) for one in seen])
    return batch | {"task": [one.task for one in seen]}


def test_lerobot_finds_the_plugin():
    assert not KNOWN_BEFORE
    config = PreTrainedConfig.get_choice_class("foresight")
    assert get_policy_class("foresight").config_class is config


@pytest.mark.parametrize(("steps", "ensemble"), ACTING)
def test_actions_are_foresights_own(folder, checkpoint, dataset, steps, ensemble):
    changes = {"n_action_steps": steps} | (
        {"temporal_ensemble_coeff": ensemble} if ensemble else {}
    )
    policy, before, after = loaded(folder, dataset, **changes)
    recorded = LeRobotDataset("made/up", dataset.path, episodes=[1])
    policy.reset()
    alone = own(checkpoint, 0, steps, ensemble)
    spread = 0.0
    for t, seen in enumerate(shown(dataset, 1)):
        action = after(policy.select_action(before(recorded[t])))
        assert action.shape == (1, 2)
        np.testing.assert_allclose(action[0].numpy(), alone.act(seen), atol=1e-5)
        spread = max(spread, float(action.abs().max()))
    assert spread > 1  # in the robot's units, whose mean is 3 and deviation 10


def test_chunks_of_several_robots_are_foresights_own(folder, checkpoint, dataset):
    policy, before, after = loaded(folder, dataset)
    policy.reset()
    alone = [own(checkpoint, seed) for seed in (0, 1)]
    for pair in list(zip(shown(dataset, 0), shown(dataset, 1), strict=True))[:3]:
        chunk = after(policy.predict_action_chunk(before(batch_of(*pair))))
        assert chunk.shape == (2, 6, 2)
        for row, robot, seen in zip(chunk.numpy(), alone, pair, strict=True):
            np.testing.assert_allclose(row, robot.predict_action_chunk(seen), atol=1e-5)
    with pytest.raises(ForesightError, match="call reset"):
        policy.select_action(batch_of(pair[0]))
    policy.reset()  # a second episode has seeds of its own
    third = policy.predict_action_chunk(batch_of(pair[0]))[0].numpy()
    expected = own(checkpoint, 2).predict_action_chunk(pair[0])
    np.testing.assert_allclose(third, expected, atol=1e-5)


def test_recording_asks_for_one_action_at_a_time(folder, checkpoint, dataset):
    policy, before, after = loaded(folder, dataset)
    policy.reset()
    alone = own(checkpoint)
    for seen in shown(dataset, 2)[:4]:
        arrays = {f"observation.images.{name}": f.copy() for name, f in seen.images.items()}
        arrays["observation.state"] = seen.state.copy()
        cpu = torch.device("cpu")
        action = predict_action(arrays, policy, cpu, before, after, use_amp=False, task=seen.task)
        np.testing.assert_allclose(action[0].numpy(), alone.act(seen), atol=1e-5)


def test_processors_change_no_number(folder, dataset):
    _, before, after = loaded(folder, dataset)
    batch = batch_of(shown(dataset, 0)[0])
    done = before(dict(batch))
    for name, value in batch.items():
        assert name == "task" or torch.equal(done[name], value), name
    action = torch.tensor([[100.0, -7.0]])
    assert torch.equal(after(action), action)
    steps = [json.loads(f.read_text())["steps"] for f in sorted(folder.glob("policy_*.json"))]
    assert [len(each) for each in steps] == [1, 3]


def test_every_level_of_grey_comes_back():
    levels = torch.arange(256, dtype=torch.uint8).expand(1, 3, 2, 256)
    found = observations({"observation.images.a": levels / 255})[0].images["a"]
    assert found.dtype == np.uint8 and np.array_equal(found[0, :, 0], np.arange(256))


def test_saved_again_it_is_the_same(folder, dataset, tmp_path):
    policy, *_ = loaded(folder, dataset)
    policy.save_pretrained(tmp_path / "again")
    again = get_policy_class("foresight").from_pretrained(tmp_path / "again")
    for name, value in policy.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], value), name


class Cube(gym.Env):
    """Shows a recorded episode whatever is done, and keeps what was done."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012
    render_mode = "rgb_array"
    task_description = TASKS[1]
    _max_episode_steps = 7
    done: list[np.ndarray] = []  # noqa: RUF012
    observation_space = gym.spaces.Dict(
        {
            "pixels": gym.spaces.Dict(
                {n: gym.spaces.Box(0, 255, (*size, 3), np.uint8) for n, size in CAMERAS.items()}
            ),
            "agent_pos": gym.spaces.Box(-np.inf, np.inf, (3,), np.float32),
        }
    )
    action_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.see(), {}

    def see(self):
        found = episode(1)
        pixels = {name: frames[self.t] for name, frames in found.images.items()}
        return {"pixels": pixels, "agent_pos": found.state[self.t]}

    def step(self, action):
        self.done.append(action.copy())
        self.t += 1
        over = self.t >= self._max_episode_steps
        return self.see(), 1.0, over, False, {"is_success": over}

    def render(self):
        return self.see()["pixels"]["front"]


@EnvConfig.register_subclass("cube")
@dataclass
class CubeConfig(EnvConfig):
    task: str | None = "Cube-v0"
    features: dict[str, PolicyFeature] = field(
        default_factory=lambda: {
            "action": PolicyFeature(FeatureType.ACTION, (2,)),
            "agent_pos": PolicyFeature(FeatureType.STATE, (3,)),
            **{n: PolicyFeature(FeatureType.VISUAL, (*s, 3)) for n, s in CAMERAS.items()},
        }
    )
    features_map: dict[str, str] = field(
        default_factory=lambda: {
            "action": "action",
            "agent_pos": "observation.state",
            **{name: f"observation.images.{name}" for name in CAMERAS},
        }
    )

    @property
    def gym_kwargs(self) -> dict:
        return {}


def test_lerobot_eval_acts_as_foresight_does(folder, checkpoint, dataset, tmp_path, monkeypatch):
    gym.register("gym_cube/Cube-v0", Cube, order_enforce=False)  # no wrapper hides the task
    words = [
        "--env.type=cube",
        f"--policy.path={folder}",
        "--policy.n_action_steps=2",
        "--eval.n_episodes=2",
        "--eval.batch_size=1",
        f"--output_dir={tmp_path / 'out'}",
    ]
    monkeypatch.setattr(sys, "argv", ["lerobot-eval", *words])
    Cube.done.clear()
    lerobot_eval.main()
    about = json.loads((tmp_path / "out/eval_info.json").read_text())
    assert about["overall"]["n_episodes"] == 2 and about["overall"]["pc_success"] == 100
    expected = []
    for seed in (0, 1):
        alone = own(checkpoint, seed, execute=2)
        expected += [alone.act(seen) for seen in shown(dataset, 1)[:7]]
    np.testing.assert_allclose(np.stack(Cube.done), np.stack(expected), atol=1e-5)


def test_what_is_missing_is_named(folder, dataset):
    policy, *_ = loaded(folder, dataset)
    batch = batch_of(shown(dataset, 0)[0])

    def refused(words, **changes):
        policy.reset()
        with pytest.raises(ForesightError, match=words):
            policy.select_action({k: v for k, v in (batch | changes).items() if v is not None})

    refused("no picture of camera 'wrist'", **{"observation.images.wrist": None})
    refused("told 2 numbers of state", **{"observation.state": torch.zeros(1, 2)})
    refused("The task 'dance'", task=["dance"])
    normalised = batch["observation.images.front"] * 4 - 2
    refused("between 0 and 1 were expected", **{"observation.images.front": normalised})
    refused("where .batch, 3, height, width", **{"observation.images.front": torch.zeros(1, 4, 3)})
    with pytest.raises(ForesightError, match="neither pictures"):
        observations({"task": ["a"]})
    with pytest.raises(ForesightError, match="not trained by lerobot-train"):
        policy.forward(batch)


def test_a_folder_that_misses_something_is_named(copy, checkpoint, dataset):
    read = get_policy_class("foresight").from_pretrained
    weights = load_file(copy / "model.safetensors")
    lost = min(weights)
    save_file({k: v for k, v in weights.items() if k != lost}, copy / "model.safetensors")
    with pytest.raises(ForesightError, match=f"no tensor {re.escape(lost)}"):
        read(copy)
    (copy / "model.safetensors").unlink()
    with pytest.raises(ForesightError, match="lost its weights"):
        make_policy(configured(copy), ds_meta=LeRobotDatasetMetadata("made/up", dataset.path))
    for other in (checkpoint, dataset.path):
        with pytest.raises(ForesightError, match="is no folder of a Foresight policy"):
            read(other)
    with pytest.raises(ForesightError, match="does not exist"):
        read(copy / "nowhere")
    empty = PreTrainedConfig.get_choice_class("foresight")(device="cpu")
    with pytest.raises(ForesightError, match="holds no Foresight checkpoint"):
        get_policy_class("foresight")(empty)


def test_another_robot_is_refused(folder):
    config = configured(folder)
    config.output_features = {"action": PolicyFeature(FeatureType.ACTION, (7,))}
    with pytest.raises(ForesightError, match=r"actions of shape \[7\] and the policy gives 2"):
        get_policy_class("foresight").from_pretrained(folder, config=config)


def test_the_command_answers_in_a_sentence(folder, checkpoint, tmp_path, monkeypatch, capsys):
    def run(*words) -> int:
        monkeypatch.setattr(sys, "argv", ["foresight-to-lerobot", *map(str, words)])
        return command.main()

    assert run(checkpoint, folder) == 2 and "holds something already" in capsys.readouterr().err
    assert (
        run(tmp_path / "no", tmp_path / "new") == 2 and "does not exist" in capsys.readouterr().err
    )
    broken = shutil.copytree(checkpoint, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"short")
    assert run(broken, tmp_path / "new") == 2 and "truncated" in capsys.readouterr().err
    about = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(about | {"type": "world-model"}))
    assert run(broken, tmp_path / "new") == 2 and "a world model and" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert run(checkpoint, tmp_path / "new") == 0
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted(
        p.name for p in folder.iterdir()
    )
    assert not list(tmp_path.glob(".new*"))


@pytest.mark.parametrize(("codec", "loss"), [("lossless", 0), ("h264", 4), ("av1", 6)])
def test_lerobot_reads_what_foresight_wrote(codec, loss, tmp_path):
    written = write(tmp_path / codec, codec, count=2)
    read = LeRobotDataset("made/up", written.path)
    assert (read.num_episodes, read.num_frames, read.fps) == (2, sum(written.lengths), 20)
    row = 0
    for index in range(2):
        told = episode(index)
        for t in range(len(told.action)):
            item = read[row]
            assert torch.equal(item["action"], torch.from_numpy(told.action[t]))
            assert torch.equal(item["observation.state"], torch.from_numpy(told.state[t]))
            assert item["task"] == told.task
            assert (int(item["episode_index"]), int(item["frame_index"])) == (index, t)
            for camera, frames in told.images.items():
                picture = item[f"observation.images.{camera}"].permute(1, 2, 0) * 255
                error = np.abs(picture.numpy() - frames[t].astype(np.float32))
                assert error.mean() <= loss + 1e-3, (camera, t, error.mean())
            row += 1


def test_foresight_reads_what_lerobot_recorded(tmp_path):
    features = {
        "action": {"dtype": "float32", "shape": (2,), "names": ["motor_0", "motor_1"]},
        "observation.state": {"dtype": "float32", "shape": (3,), "names": ["a", "b", "c"]},
        **{
            f"observation.images.{name}": {
                "dtype": "video",
                "shape": (*size, 3),
                "names": ["height", "width", "channels"],
            }
            for name, size in CAMERAS.items()
        },
    }
    recorder = LeRobotDataset.create("made/up", 20, features, root=tmp_path / "recorded")
    for seed in range(2):
        told = episode(seed)
        for t in range(len(told.action)):
            frame = {f"observation.images.{n}": f[t] for n, f in told.images.items()}
            frame |= {"observation.state": told.state[t], "action": told.action[t]}
            recorder.add_frame(frame | {"task": told.task})
        recorder.save_episode()
    recorder.finalize()
    found = Dataset.open(tmp_path / "recorded")
    assert found.lengths == [12, 12] and found.spec.cameras == SPEC.cameras
    for seed in range(2):
        told, back = episode(seed), found.episode(seed)
        assert np.array_equal(back.action, told.action)
        assert np.array_equal(back.state, told.state) and back.task == told.task
        for camera, frames in told.images.items():
            error = np.abs(back.images[camera].astype(float) - frames).mean()
            assert error < 6, camera


def test_another_encoder_is_refused(folder, dataset):
    seen = batch_of(shown(dataset, 0)[0])
    same, *_ = loaded(folder, dataset, encoder="foresight-small")
    assert same.select_action(seen).shape == (1, 2)
    other, *_ = loaded(folder, dataset, encoder="random-small")
    with pytest.raises(ForesightError, match="was trained on encoder"):
        other.select_action(seen)
