"""A decoder shows what a state holds, and leaves the model as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.training.decoding import DecoderConfig, Seen, learn_decoder
from foresight.worldmodel.config import (
    CameraInput,
    HeadsConfig,
    StateEncoderConfig,
    WorldModelConfig,
)
from foresight.worldmodel.model import WorldModel

SIDE = 16
CONFIG = WorldModelConfig(
    task="a square",
    actions=1,
    action_low=(-1.0,),
    action_high=(1.0,),
    cameras=(CameraInput("front", 1, 2), CameraInput("wrist", 1, 2)),
    state=StateEncoderConfig("raw"),
)
SHORT = DecoderConfig(SIDE, updates=100, batch=8, lr=3e-3)


def squares(count: int, seed: int) -> Seen:
    """A square of four pixels where the state says, on grey; the second camera is mirrored."""
    places = torch.rand(count, 2, generator=torch.Generator().manual_seed(seed))
    pictures = torch.full((count, 2, SIDE, SIDE, 3), 60, dtype=torch.uint8)
    for i, (row, column) in enumerate((places * (SIDE - 4)).round().int().tolist()):
        pictures[i, 0, row : row + 4, column : column + 4] = 230
    pictures[:, 1] = pictures[:, 0].flip(2)
    return Seen(torch.cat([places, places], 1) * 2 - 1, pictures)


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> tuple[WorldModel, WorldModel]:
    torch.manual_seed(0)
    model = WorldModel(CONFIG).eval()
    folder = tmp_path_factory.mktemp("decoder")
    return model, learn_decoder(model, squares(400, 0), squares(60, 1), SHORT, folder, "squares")


def test_pictures_of_states_never_seen_are_better_than_the_mean_picture(shown):
    decoder, unseen = shown[1].decoder, squares(60, 2)
    with torch.no_grad():
        error = float(decoder.errors(unseen.states, unseen.pictures).mean())
        shuffled = float(decoder.errors(unseen.states.roll(7, 0), unseen.pictures).mean())
    assert error < 0.5 and shuffled > 1.2
    first, pictures = decoder.show(unseen.states[:5]), decoder.show(unseen.states.view(5, 12, 4))
    assert first.shape == (5, 2, SIDE, SIDE, 3) and first.dtype == torch.uint8
    assert pictures.shape == (5, 12, 2, SIDE, SIDE, 3)


def test_everything_else_stays_and_the_checkpoint_keeps_it(shown, tmp_path):
    model, with_decoder = shown
    held = with_decoder.state_dict()
    assert all(torch.equal(value, held[name]) for name, value in model.state_dict().items())
    assert model.decoder is None
    with_decoder.save(tmp_path)
    again = WorldModel.load(tmp_path)
    z = torch.rand(3, 4)
    assert torch.equal(again.decoder.show(z), with_decoder.decoder.show(z))
    assert again.for_planning(None, torch.float32).decoder is None


def test_a_model_with_a_decoder_gets_one_of_another_size(shown, tmp_path):
    tiny = replace(SHORT, side=8, updates=1)
    few = Seen(squares(2, 0).states, squares(2, 0).pictures[:, :, ::2, ::2])
    again = learn_decoder(shown[1], few, few, tiny, tmp_path, "smaller")
    assert again.decoder.show(few.states).shape == (2, 2, 8, 8, 3)


def test_what_cannot_be_decoded_is_refused(tmp_path):
    with pytest.raises(ForesightError, match="choose 8, 16"):
        HeadsConfig(decoder=24)
    model, few = WorldModel(CONFIG), squares(2, 0)
    none = Seen(few.states[:0], few.pictures[:0])
    with pytest.raises(ForesightError, match="0 held out are too few"):
        learn_decoder(model, few, none, SHORT, tmp_path, "few")
    tiny, folder = replace(SHORT, updates=2), tmp_path / "used"
    learn_decoder(model, few, few, tiny, folder, "one")
    with pytest.raises(ForesightError, match="another"):
        learn_decoder(model, few, few, tiny, folder, "not squares")
