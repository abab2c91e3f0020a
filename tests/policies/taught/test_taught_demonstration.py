from __future__ import annotations

import numpy as np
import pytest
import torch

from foresight import load_encoder
from foresight.core.errors import ForesightError
from foresight.data.video import encode_video
from foresight.envs.registry import EnvConfig
from foresight.policies.taught.demonstration import (
    Demonstration,
    Recorded,
    open_demonstration,
    stride_of,
    watch,
)
from foresight.report.videos import encode_mp4
from foresight.rollout.collect import collect
from foresight.rollout.episode import EpisodeSpec
from foresight.worldmodel.config import (
    CameraInput,
    HeadsConfig,
    StateEncoderConfig,
    WorldModelConfig,
)
from foresight.worldmodel.dynamics.config import DynamicsConfig
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.observation import ObservationEncoder

RATE = 50.0  # of point_mass: a control step is .02 s


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("random-small")


@pytest.fixture(scope="module")
def model(encoder):
    side = encoder.image_size // encoder.patch
    config = WorldModelConfig(
        task="point_mass-easy",
        actions=2,
        action_low=(-1.0, -1.0),
        action_high=(1.0, 1.0),
        cameras=(CameraInput("camera", side**2, encoder.dim),),
        state=StateEncoderConfig("adapter", dim=16, history=2, n_components=2, hidden=16),
        dynamics=DynamicsConfig("simnorm", members=2, hidden=16, layers=2),
        heads=HeadsConfig(hidden=16),
        discount=0.97,
        repeat=2,
        encoder=encoder.name,
        encoder_fingerprint=encoder.fingerprint,
    )
    torch.manual_seed(0)
    return WorldModel(config).eval()


def frames(count: int, size: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def test_a_lossless_video_and_an_episode_show_the_very_frames(tmp_path):
    env = EnvConfig("point_mass-easy", size=64, quality="smooth")
    spec = EpisodeSpec(env, 7, "expert", 6)
    store = collect(tmp_path / "data", [spec], 1)
    episode = open_demonstration(f"{tmp_path / 'data'}:0")
    assert (episode.rate, episode.task, episode.seed) == (50, "point_mass-easy", 7)
    assert episode.actions is not None and episode.actions.shape == (6, 2)
    path = tmp_path / "demo.mp4"
    path.write_bytes(encode_video(store.frames(0), 50))
    video = open_demonstration(path)
    np.testing.assert_array_equal(video.frames, episode.frames)
    assert video.rate == 50 and video.actions is None and video.seconds == pytest.approx(0.12)
    assert Recorded(tmp_path / "data")(7).source == episode.source
    with pytest.raises(ForesightError, match="no demonstration for seed 3"):
        Recorded(tmp_path / "data")(3)


def test_it_is_seen_as_the_robot_sees_its_own_episode(model, encoder):
    shown = Demonstration(frames(9), RATE)
    found = watch(shown, model, encoder, RATE)
    assert found.stride == 2 and len(found) == 5
    gaze = ObservationEncoder(encoder, model.state)
    live = torch.cat([gaze.see(frame[None]) for frame in shown.frames[::2]])
    torch.testing.assert_close(found.features, live)
    torch.testing.assert_close(found.z, model.encode(live))


def test_a_slower_or_faster_camera_is_followed_at_the_robots_pace():
    assert stride_of(Demonstration(frames(4), 25), 25) == 1
    assert stride_of(Demonstration(frames(4), 100), 25) == 4
    assert stride_of(Demonstration(frames(4), 99.9), 25) == 4  # rounding of a file
    for rate in (12.5, 30, 60):
        with pytest.raises(ForesightError, match="whole multiple"):
            stride_of(Demonstration(frames(4), rate), 25)


def test_what_cannot_be_followed_is_refused_in_a_sentence(model, encoder, tmp_path):
    with pytest.raises(ForesightError, match="48 x 48 pixels and the robot's camera"):
        watch(Demonstration(frames(9, 48), RATE), model, encoder, RATE)
    with pytest.raises(ForesightError, match="at least 3 frames"):
        watch(Demonstration(frames(1), RATE), model, encoder, RATE)
    with pytest.raises(ForesightError, match="shows cup-catch"):
        watch(Demonstration(frames(9), RATE, task="cup-catch"), model, encoder, RATE)
    with pytest.raises(ForesightError, match="trained on encoder random-small"):
        watch(Demonstration(frames(9), RATE), model, load_encoder("foresight-small"), RATE)
    with pytest.raises(ForesightError, match="uint8"):
        Demonstration(frames(4).astype(np.float32), RATE)
    with pytest.raises(ForesightError, match="0 frames per second"):
        Demonstration(frames(4), 0)
    with pytest.raises(ForesightError, match="3 actions for 4 frames"):
        Demonstration(frames(4), RATE, actions=np.zeros((3, 2)))


def test_files_that_are_no_video_are_refused(tmp_path):
    for name, data in (("empty.mp4", b""), ("text.mp4", b"no video at all")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ForesightError, match="cannot be read as a video"):
            open_demonstration(tmp_path / name)
    with pytest.raises(ForesightError, match="no demonstration"):
        open_demonstration(tmp_path / "missing.mp4")
    with pytest.raises(ForesightError, match="no demonstration"):
        open_demonstration(f"{tmp_path}:first")


def test_a_lossy_video_of_another_program_can_be_read(tmp_path):
    smooth = np.full((6, 64, 64, 3), 90, np.uint8)
    (tmp_path / "phone.mp4").write_bytes(encode_mp4(smooth, 50))
    found = open_demonstration(tmp_path / "phone.mp4")
    assert found.frames.shape == smooth.shape and found.rate == 50
    assert int(np.abs(found.frames.astype(int) - 90).max()) <= 3
