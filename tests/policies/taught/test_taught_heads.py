from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from taught_worlds import SMALL, glide, tiny_model

from foresight.core.episode import Episode
from foresight.core.errors import ForesightError
from foresight.core.spec import Spec, numbered_axes
from foresight.data.dataset import Dataset
from foresight.policies.taught.heads import HEADS, TaughtConfig, load_heads
from foresight.policies.taught.space import Space
from foresight.training.run_data import FeatureFiles
from foresight.training.taught import lived_through, taught_heads, to_latents, train_heads

pytestmark = pytest.mark.slow


def test_a_space_has_axes_without_correlation_and_a_mean_variance_of_one():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(6, 6, generator=generator)
    z = torch.randn(4000, 6, generator=generator) @ mixing + 3
    space = Space(6).settle(z)
    seen = space(z)
    torch.testing.assert_close(seen.mean(0), torch.zeros(6), atol=1e-3, rtol=0)
    spread = torch.cov(seen.T)
    torch.testing.assert_close(spread, torch.diag(spread.diagonal()), atol=1e-3, rtol=0)
    assert float(spread.trace() / 6) == pytest.approx(1, abs=1e-3)
    assert bool((spread.diagonal().diff() < 0).all())  # the widest axis first
    naive = ((seen[0] - seen[1]) ** 2).mean().sqrt()
    torch.testing.assert_close(space.distance(z[0], seen[1]), naive)


def test_states_that_never_move_are_refused():
    with pytest.raises(ForesightError, match="never move"):
        Space(3).settle(torch.ones(5, 3))


def test_heads_learn_what_leads_where_without_reward():
    model = tiny_model()
    replay = glide(120, 12, model)
    config = replace(SMALL, updates=250)
    heads, report = train_heads(replay, config)
    assert report.inverse_r2 > 0.1  # one of up to six random actions explains part of the way
    # A walk of random steps comes back, so that gaps can be told apart only roughly.
    assert report.reach_rank > 0.2 and report.reach_auc > 0.6
    latents = to_latents(replay, config)
    ends = latents.z[:13]
    one = heads.action(ends[:-1], ends[1:], 1)
    truth = replay.actions[:12]
    assert float(torch.corrcoef(torch.stack([one[:, 0], truth[:, 0]]))[0, 1]) > 0.8
    away = heads.decisions(ends[0].expand(2, -1), ends[[1, 6]])
    assert away.shape == (2,) and bool((away >= 0).all())


def folder_of(model, run, episodes=12):
    """A run of four episodes a round, whose frames are noise."""
    replay = glide(episodes, 8, model)
    model.save(run / "model")
    random, files = np.random.default_rng(0), FeatureFiles(run, model)
    spec = Spec(cameras={"camera": (8, 8)}, action=numbered_axes("action", 1, [-1], [1]), fps=20)
    with Dataset.create(run / "data", spec) as dataset:
        for number in range(episodes):
            frames = random.integers(0, 256, (8, 8, 8, 3), np.uint8)
            action = replay.actions[replay.rows(number)][:8].numpy()
            info = {"seed": number, "round": number // 4}
            dataset.append(
                Episode(
                    {"camera": frames},
                    np.zeros((8, 0), np.float32),
                    action,
                    np.zeros(8, np.float32),
                    terminated=False,
                    task="glide",
                    fps=20,
                    info=info,
                )
            )
    width = model.state.step_width
    for number in range(-(-episodes // 4)):
        rows = [replay.rows(i) for i in range(4 * number, min(4 * number + 4, episodes))]
        files.write(number, [replay.features[each][:8, -width:] for each in rows])
    return run / "model"


def test_what_a_model_has_lived_through_is_read_in_order(tmp_path):
    model = tiny_model()
    found = lived_through(model, folder_of(model, tmp_path))
    wanted = glide(12, 8, model)
    assert found.offsets.tolist() == list(range(0, 97, 8))
    for episode in range(12):
        mine, theirs = found.rows(episode), wanted.rows(episode)
        torch.testing.assert_close(found.actions[mine], wanted.actions[theirs][:8])
        width = model.state.step_width
        torch.testing.assert_close(
            found.features[mine][:, -width:], wanted.features[theirs][:8, -width:]
        )


def test_heads_are_kept_beside_the_model_and_made_anew_for_another(tmp_path):
    model = tiny_model()
    folder = folder_of(model, tmp_path)
    config = replace(SMALL, updates=5)
    heads, report = taught_heads(folder, config)
    before = (folder / HEADS / "config.json").stat().st_mtime_ns
    again, same = taught_heads(folder, config)
    assert (folder / HEADS / "config.json").stat().st_mtime_ns == before and same == report
    for name, value in heads.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value)
    tiny_model(seed=5).save(folder)
    with pytest.raises(ForesightError, match="other weights"):
        load_heads(folder)
    taught_heads(folder, config)
    load_heads(folder)


def test_what_cannot_be_learned_from_is_named(tmp_path):
    model = tiny_model()
    with pytest.raises(ForesightError, match="no learned model"):
        taught_heads(tmp_path, SMALL)
    model.save(tmp_path)
    with pytest.raises(ForesightError, match="no episodes of a training"):
        taught_heads(tmp_path, SMALL)
    with pytest.raises(ForesightError, match="3 recorded episodes"):
        taught_heads(folder_of(model, tmp_path / "few", 3), SMALL)
    folder = folder_of(model, tmp_path / "spoilt")
    FeatureFiles(folder.parent, model).file(1).write_bytes(b"nonsense")
    with pytest.raises(ForesightError, match=r"00001\.safetensors cannot be read"):
        taught_heads(folder, SMALL)
    with pytest.raises(ForesightError, match="held out"):
        TaughtConfig(validation=0)
    about = {"type": "taught-heads", "version": 1, "config": {"sizes": {}}}
    (tmp_path / HEADS).mkdir()
    (tmp_path / HEADS / "config.json").write_text(json.dumps(about))
    with pytest.raises(ForesightError, match="not the configuration of heads for teaching"):
        load_heads(tmp_path)
