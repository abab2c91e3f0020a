"""Points of a picture: they are where the things are, anywhere alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm

from foresight.core.errors import ForesightError
from foresight.policies.chunk.keypoints import Keypoints


def test_points_are_the_expected_places_of_a_softmax():
    torch.manual_seed(0)
    reader = Keypoints(9, 6, 4, 8)
    torch.nn.init.normal_(reader.move)
    patches = torch.randn(3, 9, 6)
    found = reader.points(patches).detach().numpy()
    weight, bias = (p.detach().double().numpy() for p in (reader.score.weight, reader.score.bias))
    move, seen = reader.move.detach().double().numpy(), patches.double().numpy()
    for b in range(3):
        for k in range(4):
            scores = np.exp(seen[b] @ weight[k] + bias[k])
            share = scores / scores.sum()
            expected = np.zeros(2)
            for p in range(9):
                row, column = divmod(p, 3)
                expected += share[p] * np.array([(column - 1) * 2 / 3, (row - 1) * 2 / 3])
                expected += share[p] * 2 / 3 * (move[:, k] @ seen[b, p])
            np.testing.assert_allclose(found[b, k], expected, atol=1e-5)


def test_convolutions_describe_a_patch_by_what_it_and_its_neighbours_show():
    torch.manual_seed(0)
    reader = Keypoints(9, 6, 4, 8, channels=5)
    patches = torch.randn(1, 9, 6)
    one, _, two, _ = reader.local
    first, bias, second, shift = (
        p.detach().double().numpy() for p in (one.weight, one.bias, two.weight, two.bias)
    )
    seen = patches[0].double().numpy().reshape(3, 3, 6)
    inner = np.zeros((5, 5, 5))  # a frame of zeros around three by three patches
    inner[1:4, 1:4] = gelu(seen @ first[:, :, 0, 0].T + bias)
    described = np.zeros((9, 5))
    for p in range(9):
        row, column = divmod(p, 3)
        around = inner[row : row + 3, column : column + 3]
        described[p] = gelu(np.einsum("rcd,odrc->o", around, second) + shift)
    plain = Keypoints(9, 5, 4, 8)
    plain.load_state_dict({k: v for k, v in reader.state_dict().items() if "local" not in k})
    expected = plain.points(torch.from_numpy(described).float()[None])
    torch.testing.assert_close(reader.points(patches), expected, atol=1e-5, rtol=1e-5)


def test_places_keep_their_digits_beside_products_of_half_the_precision():
    torch.manual_seed(0)
    reader, patches = Keypoints(64, 6, 4, 8, channels=5), torch.randn(3, 64, 6)
    with torch.autocast("cpu", torch.bfloat16):
        found = reader.points(patches)
        tokens = reader(patches)
    assert found.dtype == tokens.dtype == torch.float32
    assert not torch.equal(found, found.bfloat16().float())
    torch.testing.assert_close(found, reader.points(patches), atol=0.03, rtol=0)


def gelu(x):
    return x * norm.cdf(x)


def test_what_was_learned_in_one_half_finds_a_thing_in_the_other():
    """Residual layers over patches would know nothing of places where no thing has been."""
    torch.manual_seed(0)
    reader, thing = Keypoints(64, 6, 1, 2), 3 * torch.randn(6)

    def pictures(columns):
        row, column = torch.randint(0, 8, (256,)), torch.randint(*columns, (256,))
        patches = 0.3 * torch.randn(256, 64, 6)
        patches[torch.arange(256), row * 8 + column] += thing
        return patches, torch.stack([column, row], -1) / 4 - 7 / 8

    optimizer = torch.optim.Adam(reader.parameters(), 0.05)
    for _ in range(150):
        patches, places = pictures((0, 4))
        loss = (reader.points(patches)[:, 0] - places).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    patches, places = pictures((4, 8))
    assert float((reader.points(patches)[:, 0] - places).abs().mean()) < 0.1


def test_tokens_hold_all_points():
    reader = Keypoints(4, 6, 5, 4)
    assert reader(torch.randn(2, 4, 6)).shape == (2, 3, 4)  # ten numbers in three tokens of four
    with pytest.raises(ForesightError, match="square of patches, and there are 8"):
        Keypoints(8, 6, 5, 4)
