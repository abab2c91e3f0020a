"""The encoder, the predictor and the loss once more, in float64: a clip, a head, a token at a time.

Nothing of the package is called, only its weights are read.
"""

from __future__ import annotations

import math

import torch


def cells(grid):
    return [(t, i, j) for t in range(grid[0]) for i in range(grid[1]) for j in range(grid[2])]


def patches(clip, patch):
    """Blocks of two frames ``[N, 3·2·p·p]`` of a clip ``[T, 3, H, W]``."""
    grid = (len(clip) // 2, clip.shape[2] // patch, clip.shape[3] // patch)
    blocks = []
    for t, i, j in cells(grid):
        rows, columns = slice(i * patch, (i + 1) * patch), slice(j * patch, (j + 1) * patch)
        block = clip[2 * t : 2 * t + 2, :, rows, columns]
        blocks.append(block.transpose(0, 1).flatten())
    return torch.stack(blocks)


def linear(layer, x):
    return x @ layer.weight.double().flatten(1).T + layer.bias.double()


def standard(x, eps):
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + eps).sqrt()


def norm(layer, x):
    return standard(x, 1e-6) * layer.weight.double() + layer.bias.double()


def angles(place, width):
    third = 2 * (width // 3 // 2)
    found = []
    for channel in range(width):
        axis, within = divmod(channel, third)
        rate = 10000 ** -((within % (third // 2)) / (third / 2))
        found.append(place[axis] * rate if axis < 3 else 0.0)
    return torch.tensor(found, dtype=torch.float64)


def rotated(x, places):
    rows = []
    for row, place in zip(x, places, strict=True):
        angle = angles(place, len(row))
        partner = torch.stack([-row[c + 1] if c % 2 == 0 else row[c - 1] for c in range(len(row))])
        rows.append(row * angle.cos() + partner * angle.sin())
    return torch.stack(rows)


def attention(layer, x, places):
    q, k, v = linear(layer.qkv, x).chunk(3, dim=1)
    width = x.shape[1] // layer.heads
    heads = []
    for head in range(layer.heads):
        part = slice(head * width, (head + 1) * width)
        queries, keys = rotated(q[:, part], places), rotated(k[:, part], places)
        scores = torch.exp(queries @ keys.T / math.sqrt(width))
        heads.append(scores / scores.sum(1, keepdim=True) @ v[:, part])
    return linear(layer.proj, torch.cat(heads, dim=1))


def blocks(layers, x, places):
    for layer in layers:
        x = x + attention(layer.attn, norm(layer.norm1, x), places)
        inner = linear(layer.mlp.fc1, norm(layer.norm2, x))
        x = x + linear(layer.mlp.fc2, inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2))))
    return x


def encode(encoder, clip, keep, grid):
    """Tokens ``[K, D]`` of the places ``keep``, which see each other only."""
    x = linear(encoder.patch_embed.proj, patches(clip, encoder.config.patch)[keep])
    return norm(encoder.norm, blocks(encoder.blocks, x, [cells(grid)[i] for i in keep]))


def predict(predictor, tokens, keep, hidden, grid):
    """Predictions ``[K + M, O]``, those at seen places first."""
    masked = predictor.mask_token[0, 0].double().expand(len(hidden), -1)
    x = torch.cat([linear(predictor.embed, tokens), masked])
    x = blocks(predictor.blocks, x, [cells(grid)[i] for i in [*keep, *hidden]])
    return linear(predictor.proj, norm(predictor.norm, x))


def terms(model, average, clips, masks, grid):
    """Mean errors of latent, dense and pixel predictions; every kind of mask counts the same."""
    kinds = [one_kind(model, average, clips.double(), mask, grid) for mask in masks]
    return {name: float(sum(kind[name] for kind in kinds) / len(kinds)) for name in kinds[0]}


def one_kind(model, average, clips, mask, grid):
    found = {"latent": [], "dense": [], "pixels": [], "visible": []}
    size = model.encoder.config.dim
    whole = list(range(math.prod(grid)))
    for clip, keep, hidden in zip(clips, mask[0].tolist(), mask[1].tolist(), strict=True):
        target = standard(encode(average, clip, whole, grid), 1e-5)
        pixels = patches(clip, model.encoder.config.patch)
        tokens = encode(model.encoder, clip, keep, grid)
        out = predict(model.predictor, tokens, keep, hidden, grid)
        for row, place in zip(out[: len(keep)], keep, strict=True):
            found["dense"].append((row[:size] - target[place]).abs().mean())
        if model.look is not None:
            weight, bias = model.look.weight.double(), model.look.bias.double()
            for token, place in zip(tokens, keep, strict=True):
                found["visible"].append(((weight @ token + bias - pixels[place]) ** 2).mean())
        for row, place in zip(out[len(keep) :], hidden, strict=True):
            found["latent"].append((row[:size] - target[place]).abs().mean())
            if model.weights.pixels:
                found["pixels"].append(((row[size:] - pixels[place]) ** 2).mean())
    return {name: torch.stack(values).mean() for name, values in found.items() if values}
