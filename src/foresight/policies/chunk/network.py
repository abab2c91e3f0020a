"""A transformer that turns what is seen, felt and wanted into a chunk of actions."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.policies.chunk.config import ChunkConfig, NetworkConfig
from foresight.policies.chunk.keypoints import Keypoints, count_tokens
from foresight.policies.chunk.normaliser import Normaliser
from foresight.policies.chunk.trunks import AttentionTrunk, FlatTrunk, encoder_layer, mlp
from foresight.worldmodel.config import CameraInput

Batch = Mapping[str, Tensor]


def weighted_mean(
    error: Float[Tensor, "B K A"],
    valid: Bool[Tensor, "B K"],
    weight: Float[Tensor, "B K A"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over the steps that an episode has; a chunk may reach beyond its end.

    Args:
        error: of every number of every action.
        valid: False beyond the end of the episode.
        weight: of every number; equal if not given.
    """
    share = valid[..., None].expand_as(error).to(error.dtype)
    if weight is not None:
        share = share * weight
    return (error * share).sum() / share.sum().clamp(min=1e-6)


class ChunkNetwork(nn.Module):
    """Context tokens, and a trunk that decides each action from them.

    The context is, in this order: each camera's tokens, each camera's goal tokens, the robot's own
    numbers, the task, and for ``cvae`` the latent.

    A batch holds ``tokens/I`` and ``goal/I`` ``[B, P, D]`` of camera I, ``state [B, history, S]``
    oldest first, ``task [B]``; and to learn from ``action [B, K, A]`` in the robot's units,
    ``valid [B, K]``, and if wanted ``weight [B, K, A]``. ``covered/tokens/I`` and
    ``covered/goal/I`` ``[B, P]`` say which patches are not to be seen, if any.

    Sources: ACT, Zhao et al. 2023 (CVAE); π0, Black et al. 2024 (flow
    matching of chunks, times drawn towards noise).
    """

    def __init__(self, config: ChunkConfig) -> None:
        super().__init__()
        self.config = config
        net, d = config.network, config.network.width
        self.normaliser = Normaliser(config)
        self.blind, self.noise, self.state_noise = net.blind, 0.0, 0.0
        self.video = nn.ModuleList(_reader(net, camera) for camera in config.cameras)
        visual = sum(tokens_of(net, camera) for camera in config.cameras)
        count = visual
        if net.goal:
            self.goal = nn.ModuleList(_reader(net, camera) for camera in config.cameras)
            count += visual
            for index, camera in enumerate(config.cameras):
                tasks = max(1, len(config.tasks or config.goal_tasks))
                shape = (tasks, config.goals, camera.patches, camera.dim)
                self.register_buffer(f"goals_{index}", torch.zeros(shape, dtype=torch.float16))
        if config.states:
            sizes = (net.state_history * config.states, *net.state_hidden, net.state_tokens * d)
            self.felt = mlp(sizes)
            count += net.state_tokens
        if config.tasks:
            width, tasks = config.task_width, len(config.tasks)
            self.register_buffer("task_vectors", torch.zeros(tasks, width))
            self.task = nn.Linear(width, d) if width else nn.Embedding(tasks, d)
            count += 1
        if net.head == "cvae":
            self.posterior = Posterior(config)
            self.style = nn.Linear(net.latent, d)
            count += 1
        self.place = nn.Parameter(0.02 * torch.randn(count, d))
        kind = FlatTrunk if net.trunk == "mlp" else AttentionTrunk
        self.trunk = kind(net, count, config.actions)
        if net.head == "flow":
            self.noisy = nn.Linear(config.actions, d)
            self.time = mlp((d, d, d))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch, and numbers to log."""
        head = self.config.network.head
        target = self.normaliser.action(batch["action"])
        logs: dict[str, float] = {}
        if head == "flow":
            loss = weighted_mean(
                self.flow_error(batch, target), batch["valid"], batch.get("weight")
            )
        elif head == "cvae" and self.training:
            mean, log_variance = self.posterior(target, batch["valid"], self.felt_now(batch))
            latent = mean + (log_variance / 2).exp() * torch.randn_like(mean)
            chunk = self.decode(self.context(batch, latent))
            divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(-1)
            logs["kl"] = float(divergence.mean().detach())
            error = weighted_mean(self.error(chunk, target), batch["valid"], batch.get("weight"))
            loss = error + self.config.network.kl * divergence.mean()
        else:
            chunk = self.decode(self.context(batch))
            loss = weighted_mean(self.error(chunk, target), batch["valid"], batch.get("weight"))
        return loss, {"loss": float(loss.detach()), **logs}

    def error(
        self, chunk: Float[Tensor, "B K A"], target: Float[Tensor, "B K A"]
    ) -> Float[Tensor, "B K A"]:
        """Absolute error; cross-entropy where an action is binary."""
        binary = self.normaliser.binary
        chunk, target = chunk.float(), target.float()
        entropy = functional.binary_cross_entropy_with_logits(
            chunk, target.clamp(0, 1), reduction="none"
        )
        return torch.where(binary, entropy, (chunk - target).abs())

    def flow_error(self, batch: Batch, target: Float[Tensor, "B K A"]) -> Float[Tensor, "B K A"]:
        """Squared error of the velocity from noise to actions, at a random time of the way."""
        target = self.to_flow(target)
        noise = torch.randn_like(target)
        # Time 0 is noise; one less a draw of Beta(1.5, 1), so that noisy chunks come more often.
        time = 1 - torch.rand(len(target), device=target.device) ** (2 / 3)
        t = time[:, None, None]
        noisy = (1 - t) * noise + t * target
        velocity = self.velocity(self.context(batch), noisy, time, batch["valid"])
        return (velocity - (target - noise)).square()

    def to_flow(self, target: Float[Tensor, "*n A"]) -> Float[Tensor, "*n A"]:
        """Binary numbers as -1 and 1, others as they are."""
        return torch.where(self.normaliser.binary, 2 * target - 1, target)

    def felt_now(self, batch: Batch) -> Float[Tensor, "B S"] | None:
        """The standardised state of the present step, where it is told."""
        return self.normaliser.state(batch["state"][:, -1]) if self.config.states else None

    def context(self, batch: Batch, latent: Float[Tensor, "B l"] | None = None) -> Tensor:
        """What the actions are decided from; without a latent a ``cvae`` takes 0."""
        return self.trunk.read(self.tokens(batch, latent))

    def tokens(
        self, batch: Batch, latent: Float[Tensor, "B l"] | None = None
    ) -> Float[Tensor, "B N W"]:
        """The tokens that the trunk reads, in the order of `context_parts`."""
        net = self.config.network
        cameras = range(len(self.config.cameras))
        parts = [self.video[i](self._visual(i, batch, "tokens")) for i in cameras]
        if net.goal:
            parts += [self.goal[i](self._visual(i, batch, "goal")) for i in cameras]
        count = len(parts[0])
        if self.config.states:
            felt = self.normaliser.state(batch["state"])
            if self.training and self.state_noise:
                felt = felt + self.state_noise * torch.randn_like(felt)
            parts.append(self.felt(felt.flatten(1)).view(count, net.state_tokens, net.width))
        if self.config.tasks:
            given = batch["task"]
            told = self.task(self.task_vectors[given] if self.config.task_width else given)
            parts.append(told[:, None])
        if net.head == "cvae":
            if latent is None:
                latent = parts[0].new_zeros(count, net.latent)
            parts.append(self.style(latent)[:, None])
        return torch.cat(parts, dim=1) + self.place

    def decode(
        self,
        context: Tensor,
        extra: Float[Tensor, "B K W"] | None = None,
        valid: Bool[Tensor, "B K"] | None = None,
    ) -> Float[Tensor, "B K A"]:
        """One number for each action: standardised, a logit where binary, or a velocity.

        Args:
            context: of `context`.
            extra: what is known of each action.
            valid: actions that the others may look at; all if not given.
        """
        chunk: Tensor = self.trunk(context, extra, valid)
        return chunk

    def velocity(
        self,
        context: Tensor,
        chunk: Float[Tensor, "B K A"],
        time: Float[Tensor, " B"],
        valid: Bool[Tensor, "B K"] | None = None,
    ) -> Float[Tensor, "B K A"]:
        """Where a noisy chunk has to move at a time from 0 (noise) to 1 (actions)."""
        half = self.config.network.width // 2
        rates = torch.exp(torch.linspace(0, math.log(1e3), half, device=time.device))
        angles = time[:, None] * rates
        told = self.time(torch.cat([angles.sin(), angles.cos()], dim=-1))
        return self.decode(context, self.noisy(chunk) + told[:, None], valid)

    @torch.inference_mode()
    def predict(
        self,
        batch: Batch,
        generator: torch.Generator | None = None,
        frozen: Float[Tensor, "B d A"] | None = None,
    ) -> Float[Tensor, "B K A"]:
        """Chunks in the robot's units; binary numbers take one of their two values.

        Args:
            batch: without actions.
            generator: of the noise that ``flow`` starts from.
            frozen: first actions of the chunk that are decided already. ``flow`` keeps them on
                their way from noise, so that the others go on from them; the other heads replace
                what they would have decided.
        """
        context = self.context(batch)
        return self.decide(context, self.draw(len(context), generator), frozen)

    def draw(
        self, count: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "B K A"] | None:
        """The noise that ``flow`` starts from; the other heads need none."""
        net = self.config.network
        if net.head != "flow":
            return None
        return torch.randn((count, net.chunk, self.config.actions), generator=generator)

    def decide(
        self,
        context: Tensor,
        noise: Float[Tensor, "B K A"] | None,
        frozen: Float[Tensor, "B d A"] | None = None,
    ) -> Float[Tensor, "B K A"]:
        """`predict` from a context, and from noise that is drawn already."""
        known = None if frozen is None else self.normaliser.action(frozen)
        if noise is not None:
            chunk = self._flow(context, noise, None if known is None else self.to_flow(known))
            bits = chunk > 0
        else:
            chunk = self.decode(context).float()
            bits = chunk > 0  # logits
        chunk = torch.where(self.normaliser.binary, bits.float(), chunk)
        if known is not None:
            chunk = torch.cat([known, chunk[:, known.shape[1] :]], dim=1)
        return self.normaliser.denormalised(chunk)

    def _flow(
        self, context: Tensor, noise: Float[Tensor, "B K A"], frozen: Tensor | None
    ) -> Tensor:
        net, count = self.config.network, len(context)
        noise = chunk = noise.to(context.device)
        for step in range(net.flow_steps):
            time = torch.full((count,), step / net.flow_steps, device=context.device)
            if frozen is not None:
                d, t = frozen.shape[1], step / net.flow_steps
                chunk = torch.cat([(1 - t) * noise[:, :d] + t * frozen, chunk[:, d:]], dim=1)
            chunk = chunk + self.velocity(context, chunk, time).float() / net.flow_steps
        return chunk

    def _visual(self, index: int, batch: Batch, kind: str) -> Float[Tensor, "B P D"]:
        found = self.normaliser.tokens(index, batch[f"{kind}/{index}"])
        if self.blind:
            return torch.zeros_like(found)
        covered = batch.get(f"covered/{kind}/{index}")
        if covered is not None:
            found = found * ~covered[..., None]
        if self.training and self.noise:
            scale = self.noise * self.normaliser.noise_scale(index)
            found = found + scale * torch.randn_like(found)
        return found

    task_vectors: Tensor


def _reader(net: NetworkConfig, camera: CameraInput) -> nn.Module:
    if net.keypoints:
        return Keypoints(camera.patches, camera.dim, net.keypoints, net.width, net.convolution)
    return nn.Linear(camera.dim, net.width)


def tokens_of(net: NetworkConfig, camera: CameraInput) -> int:
    """How many tokens of the context a camera becomes."""
    return count_tokens(net.keypoints, net.width) if net.keypoints else camera.patches


class Posterior(nn.Module):
    """ACT's encoder of a demonstration's style: mean and log variance of the latent."""

    def __init__(self, config: ChunkConfig) -> None:
        super().__init__()
        net, d = config.network, config.network.width
        self.action = nn.Linear(config.actions, d)
        self.state = nn.Linear(config.states, d) if config.states else None
        self.place = nn.Parameter(0.02 * torch.randn(net.chunk + 1 + bool(config.states), d))
        self.layers = nn.ModuleList(encoder_layer(net) for _ in range(max(1, net.encoder_layers)))
        self.out = nn.Linear(d, 2 * net.latent)

    def forward(
        self, target: Float[Tensor, "B K A"], valid: Bool[Tensor, "B K"],
        state: Float[Tensor, "B S"] | None,
    ) -> tuple[Float[Tensor, "B l"], Float[Tensor, "B l"]]:  # fmt: skip
        """Of standardised actions and the state in which they began."""
        parts = [] if self.state is None or state is None else [self.state(state)[:, None]]
        parts.append(self.action(target))
        read = torch.cat([torch.zeros_like(parts[0][:, :1]), *parts], dim=1) + self.place
        seen = valid.new_ones(len(valid), read.shape[1] - valid.shape[1])
        hidden = ~torch.cat([seen, valid], dim=1)
        for layer in self.layers:
            read = layer(read, src_key_padding_mask=hidden)
        mean, log_variance = self.out(read[:, 0]).chunk(2, dim=-1)
        return mean, log_variance
