"""V-JEPA 2-AC: the next frame's tokens from the frames so far, the actions and the arm's poses.

The architecture is that of the published predictor (arXiv 2506.09985, section 3): a pre-norm
transformer over frames. Each frame is an action token, a pose token, on request a camera token,
and the frame's patches. Attention is full inside a frame and causal over frames; the output at
frame t is the prediction of frame t + 1.

As in the encoder, products run in ``dtype`` and the residual stream, norms, embeddings and output
stay in fp32.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.core.errors import ForesightError
from foresight.perception.ac_cache import FrameCache
from foresight.perception.ac_layers import EXTRINSICS, ACConfig, Block, frame_tables
from foresight.perception.pose import integrate_pose


class ACPredictor(nn.Module):
    """The action-conditioned predictor; parameters bear the names of the published file.

    Attributes:
        config: its sizes.
        dtype: of the blocks' products, see `compute_in`.
        source: fingerprint of the file it was read from, empty for one made in memory.
    """

    def __init__(self, config: ACConfig) -> None:
        super().__init__()
        self.config = config
        self.source = ""
        self.predictor_embed = nn.Linear(config.dim, config.width)
        self.action_encoder = nn.Linear(config.actions, config.width)
        self.state_encoder = nn.Linear(config.actions, config.width)
        self.extrinsics_encoder = nn.Linear(EXTRINSICS, config.width)
        self.predictor_blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.predictor_norm = nn.LayerNorm(config.width, eps=1e-6)
        self.predictor_proj = nn.Linear(config.width, config.dim)
        self.dtype = torch.float32  # of the blocks' products
        self._tables: dict[tuple[int, torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.predictor_proj.weight.device

    def compute_in(self, dtype: torch.dtype) -> ACPredictor:
        """Round the blocks' products to ``dtype``; everything else stays in fp32."""
        for block in self.predictor_blocks:
            for part in ("attn", "mlp"):
                block.get_submodule(part).to(dtype)
        self.dtype = dtype
        return self

    def forward(
        self,
        tokens: Float[Tensor, "b tn d"],
        actions: Float[Tensor, "b t 7"],
        states: Float[Tensor, "b t 7"],
        extrinsics: Float[Tensor, "b t 6"] | None = None,
        cache: FrameCache | None = None,
    ) -> Float[Tensor, "b tn d"]:
        """Predict, from every frame and those before it, the frame that follows (teacher forcing).

        Args:
            tokens: ``[B, T * N, D]``, frame-major, normalised as `represent` does.
            actions: ``[B, T, 7]``, taken at each frame.
            states: ``[B, T, 7]``, pose at each frame.
            extrinsics: ``[B, T, 6]`` camera poses, an extra token per frame; the published model
                was trained without.
            cache: frames that came before; the new ones are added to it.

        Returns:
            ``[B, T * N, D]`` in fp32, not normalised; frame t predicts frame t + 1.

        Raises:
            ForesightError: shapes that do not fit each other, more frames than the predictor's
                limit, or values that are not finite.
        """
        self._check(tokens, actions, states, extrinsics, cache)
        return self._run(tokens, actions, states, extrinsics, cache)

    def new_cache(
        self, batch: int, frames: int | None = None, extrinsics: bool = False
    ) -> FrameCache:
        """An empty cache for ``batch`` rollouts of up to ``frames`` frames (None: the limit).

        It holds ``layers * 2 * batch * frames * (N + 2) * width`` numbers.
        """
        config = self.config
        return FrameCache(
            config.depth,
            batch,
            config.heads,
            config.width // config.heads,
            config.patches + (3 if extrinsics else 2),
            min(frames or config.max_frames, config.max_frames),
            self.device,
            self.dtype,
        )

    def step(
        self,
        tokens: Float[Tensor, "b n d"],
        action: Float[Tensor, "b 7"],
        state: Float[Tensor, "b 7"],
        cache: FrameCache,
        extrinsics: Float[Tensor, "b 6"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Take in one new frame and predict the next one.

        The same numbers as `forward` over all frames, at the cost of one.

        Args:
            tokens: ``[B, N, D]`` of the new frame, normalised.
            action: ``[B, 7]`` taken at it.
            state: ``[B, 7]``, the pose at it.
            cache: the frames before; this one is added to it.
            extrinsics: ``[B, 6]``, if the cache was made for them.

        Returns:
            ``[B, N, D]``, not normalised.

        Raises:
            ForesightError: as `forward`.
        """
        camera = None if extrinsics is None else extrinsics[:, None]
        return self(tokens, action[:, None], state[:, None], camera, cache)

    @torch.no_grad()
    def rollout(
        self,
        tokens: Float[Tensor, "b tn d"],
        actions: Float[Tensor, "b a 7"],
        states: Float[Tensor, "b t 7"],
        cached: bool = True,
        cache: FrameCache | None = None,
    ) -> Float[Tensor, "b hn d"]:
        """Imagine H frames, each fed back as if it had been seen.

        Each prediction is normalised (`normalise`) before it is fed back. Poses after the given
        ones follow from the actions (`integrate_pose`).

        Args:
            tokens: ``[B, T * N, D]`` of the T ≥ 1 frames that were seen.
            actions: ``[B, T - 1 + H, 7]``: those at the seen frames, then one for each further
                imagined frame.
            states: ``[B, T, 7]``, or ``[B, T - 1 + H, 7]`` where later poses are known.
            cached: use a key/value cache; without, everything is computed again at each step.
            cache: with ``cached``, frames that came even before, for example a fork.

        Returns:
            ``[B, H * N, D]``, normalised predictions.

        Raises:
            ForesightError: as `forward`.
        """
        patches, total = self.config.patches, actions.shape[1]
        seen = tokens.shape[1] // patches
        self._check(tokens, actions[:, :seen], states[:, :seen], None, cache, total)
        if states.shape[1] not in (seen, total):
            raise ForesightError(
                f"A rollout over {seen} seen frames and {total} actions got {states.shape[1]} "
                f"states: give the {seen} that were seen, or all {total}."
            )
        _expect_finite("actions", actions)
        poses = self._poses(states, actions, total)
        if cached and cache is None:
            cache = self.new_cache(len(tokens), total)
        frames, new = tokens, tokens
        predictions = []
        for time in range(seen, total + 1):
            first = time - new.shape[1] // patches if cached else 0
            guess = self._run(
                new if cached else frames,
                actions[:, first:time],
                poses[:, first:time],
                None,
                cache if cached else None,
            )
            new = normalise(guess[:, -patches:])
            predictions.append(new)
            if not cached:
                frames = torch.cat([frames, new], dim=1)
        return torch.cat(predictions, dim=1)

    def _poses(self, states: Tensor, actions: Tensor, total: int) -> Tensor:
        poses = list(states.unbind(1))
        while len(poses) < total:
            poses.append(integrate_pose(poses[-1], actions[:, len(poses) - 1]))
        return torch.stack(poses, dim=1)

    def _run(
        self,
        tokens: Tensor,
        actions: Tensor,
        states: Tensor,
        extrinsics: Tensor | None,
        cache: FrameCache | None,
    ) -> Tensor:
        batch, time = actions.shape[:2]
        conditions = [self.action_encoder(actions), self.state_encoder(states)]
        if extrinsics is not None:
            conditions.append(self.extrinsics_encoder(extrinsics))
        patches = self.predictor_embed(tokens).view(batch, time, self.config.patches, -1)
        x = torch.cat([torch.stack(conditions, dim=2), patches], dim=2)
        first = cache.frames if cache is not None else 0
        cos, sin = (table[first : first + time] for table in self._rotary(len(conditions)))
        for layer, block in enumerate(self.predictor_blocks):
            x = block(x, cos, sin, cache, layer)
        if cache is not None:
            cache.advance(time)
        x = self.predictor_norm(x[:, :, len(conditions) :])
        return self.predictor_proj(x).flatten(1, 2)

    def _rotary(self, conditions: int) -> tuple[Tensor, Tensor]:
        key = (conditions, self.device, self.dtype)
        if key not in self._tables:
            sizes = self.config
            head_dim = sizes.width // sizes.heads
            tables = frame_tables(sizes.max_frames, sizes.grid, head_dim, conditions)
            cos, sin = (table.to(self.device, self.dtype) for table in tables)
            self._tables[key] = (cos, sin)
        return self._tables[key]

    def _check(
        self,
        tokens: Tensor,
        actions: Tensor,
        states: Tensor,
        extrinsics: Tensor | None,
        cache: FrameCache | None,
        frames: int | None = None,
    ) -> None:
        config = self.config
        given: dict[str, tuple[Tensor, int]] = {
            "actions": (actions, config.actions),
            "states": (states, config.actions),
        }
        if extrinsics is not None:
            given["extrinsics"] = (extrinsics, EXTRINSICS)
        if tokens.ndim != 3 or tokens.shape[2] != config.dim:
            raise ForesightError(
                f"Tokens of shape {tuple(tokens.shape)} do not fit this AC predictor: expected "
                f"[batch, frames * {config.patches}, {config.dim}], from its own encoder."
            )
        if tokens.shape[1] % config.patches or not tokens.shape[1]:
            raise ForesightError(
                f"{tokens.shape[1]} tokens are no whole number of frames: this AC predictor takes "
                f"{config.patches} ({config.grid}x{config.grid}) per frame, check the image size."
            )
        time = tokens.shape[1] // config.patches
        for name, (value, width) in given.items():
            if tuple(value.shape) != (len(tokens), time, width):
                raise ForesightError(
                    f"The {name} have shape {list(value.shape)}, expected [{len(tokens)}, {time}, "
                    f"{width}] for {time} frames: give {width} numbers for every frame."
                )
        self._check_room(time if frames is None else frames, cache)
        self._check_cache(len(tokens), extrinsics, cache)
        for name, value in {"tokens": tokens, **{k: v for k, (v, _) in given.items()}}.items():
            _expect_finite(name, value)

    def _check_room(self, frames: int, cache: FrameCache | None) -> None:
        held, limit = (cache.frames, cache.limit) if cache else (0, self.config.max_frames)
        if held + frames > limit:
            whose = "its cache was made for" if cache else "its limit is"
            raise ForesightError(
                f"{held + frames} frames are too many for this AC predictor, {whose} {limit}: give "
                "fewer frames or a shorter horizon."
            )

    def _check_cache(self, batch: int, extrinsics: Tensor | None, cache: FrameCache | None) -> None:
        width = self.config.patches + (2 if extrinsics is None else 3)
        if cache is not None and (cache.batch, cache.width) != (batch, width):
            raise ForesightError(
                f"The cache is for {cache.batch} rollouts of {cache.width} tokens per frame and "
                f"got {batch} of {width}: make it with new_cache or fork for these sizes."
            )


def normalise(tokens: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
    """LayerNorm without scale and shift (eps 1e-5), the form in which tokens are compared."""
    return functional.layer_norm(tokens, tokens.shape[-1:])


def _expect_finite(name: str, value: Tensor) -> None:
    if not value.isfinite().all():
        raise ForesightError(
            f"The {name} given to the AC predictor hold values that are not finite: check where "
            "they come from."
        )
