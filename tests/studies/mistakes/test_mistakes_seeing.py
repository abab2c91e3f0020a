"""Mistakes of the eyes: half of the detail in training, and what happened when."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.spec import Axis, Spec
from foresight.perception.config import EncoderConfig
from foresight.perception.readout_spec import parse_readout
from foresight.perception.stream import FeatureStream
from foresight.policies.chunk.config import ChunkConfig, NetworkConfig
from foresight.policies.chunk.network import ChunkNetwork
from foresight.policies.chunk.policy import ChunkFactory, ChunkPolicy, save_network
from foresight.worldmodel.config import CameraInput
from studies.mistakes.seeing import CoarseEyes, TimeMean, TimeMeanEyes, TimeMeanFactory
from studies.mistakes.study import CLIP

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
READOUT = "last:grid=4,window=4"


def test_pictures_lose_half_of_their_detail_in_training_alone(tiny_eyes):
    coarse, sharp = (kind(tiny_eyes, READOUT).load() for kind in (CoarseEyes, EncoderConfig))
    streams = [FeatureStream(*each) for each in (coarse, sharp)]
    coarse_prepare, sharp_prepare = (each.prepare for each in streams)
    assert np.array_equal(sharp_prepare(FRAMES), FRAMES)
    fine = np.tile(np.indices((32, 32)).sum(0) % 2 * 200, (1, 1, 1))[..., None].repeat(3, 3)
    ramp = np.tile(8 * np.arange(32), (1, 32, 1))[..., None].repeat(3, 3)
    grey, slope = (coarse_prepare(each.astype(np.uint8)) for each in (fine, ramp))
    assert grey.shape == (1, 32, 32, 3) and set(grey.ravel()) == {100}  # a pixel's detail is lost
    assert (
        np.abs(slope[:, :, 1:-1].astype(int) - ramp[:, :, 1:-1]).max() <= 1
    )  # what is coarse stays
    one, two = (each.prepare.fingerprint(32, 32) for each in streams)
    assert one != two  # their features never share a cache
    assert coarse[0].fingerprint == sharp[0].fingerprint and coarse[1] == sharp[1]
    again = EncoderConfig(tiny_eyes, READOUT).load()[0]
    assert np.array_equal(again.prepare(FRAMES), FRAMES)


def test_the_mean_over_time_forgets_when():
    last = parse_readout("last:grid=2,window=6")
    mean = TimeMean(**{name: getattr(last, name) for name in
                       ("window", "pool", "grid", "stride", "tubelets", "zoom")})  # fmt: skip
    tokens = torch.randn(2, 3, 4, 4, 5)
    each = [last.apply(tokens[:, [i]]) for i in range(3)]
    assert mean.apply(tokens).allclose(torch.stack(each).mean(0), atol=1e-6)
    assert mean.apply(tokens).allclose(mean.apply(tokens.flip(1)), atol=1e-6)
    assert torch.equal(last.apply(tokens), each[-1])
    assert mean.fingerprint != last.fingerprint
    assert parse_readout(CLIP).window == 16


def saved(folder, eyes):
    """A policy that was trained with some eyes."""
    encoder, readout = eyes.load()
    spec = Spec({"front": (32, 32)}, (), (Axis("x", None, -1, 1),), 10)
    config = ChunkConfig(
        (CameraInput("front", 16, encoder.dim),),
        1,
        network=NetworkConfig(chunk=2, width=8, hidden=16, keypoints=2, layers=1),
        spec=spec,
        encoder=eyes.encoder,
        readout=eyes.readout,
        encoder_fingerprint=encoder.fingerprint,
        readout_fingerprint=readout.fingerprint,
        dataset_fingerprint="none",
    )
    save_network(ChunkNetwork(config), folder)
    return spec


def test_what_learned_from_means_acts_on_means(tiny_eyes, tmp_path):
    eyes = TimeMeanEyes(tiny_eyes, READOUT)
    spec = saved(tmp_path, eyes)
    policy = TimeMeanFactory(str(tmp_path))(spec)
    stream = FeatureStream(*eyes.load())
    policy.reset(Observation({"front": FRAMES[0]}), 0)
    for frame in FRAMES:
        batch = policy.inputs(Observation({"front": frame}))
        expected = torch.from_numpy(stream.push(frame)).half().view(1, 16, -1)
        assert torch.equal(batch["tokens/0"], expected)
    wrong = ChunkFactory(str(tmp_path))(spec)
    with pytest.raises(ForesightError, match="trained on readout"):
        wrong.act(Observation({"front": FRAMES[0]}))


def test_what_learned_from_coarse_pictures_sees_sharp_ones(tiny_eyes, tmp_path):
    eyes = CoarseEyes(tiny_eyes, READOUT)
    saved(tmp_path, eyes)
    policy = ChunkPolicy.load(tmp_path)
    sharp = FeatureStream(*replace(EncoderConfig(), encoder=tiny_eyes, readout=READOUT).load())
    policy.reset(Observation({"front": FRAMES[0]}), 0)
    seen = policy.inputs(Observation({"front": FRAMES[0]}))["tokens/0"]
    assert torch.equal(seen.flatten(), torch.from_numpy(sharp.push(FRAMES[0])).half())
    coarse = FeatureStream(*eyes.load()).push(FRAMES[0])
    assert not seen.flatten().float().allclose(torch.from_numpy(coarse), atol=1e-2)
