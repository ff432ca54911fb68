"""STAN: a UniFormer video network (arXiv 2405.17444, 2201.04676).

Module names are those of the public UniFormer checkpoints, so that Kinetics-400 weights load key by key.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stan_edge.errors import ConfigError


@dataclass(frozen=True)
class StanConfig:
    """Shape of the network; `variants` holds the named ones."""

    classes: int
    dims: tuple[int, int, int, int] = (64, 128, 320, 512)
    depths: tuple[int, int, int, int] = (3, 4, 8, 3)
    head_dim: int = 64
    drop_path: float = 0.2

    def __post_init__(self) -> None:
        for dim in self.dims[2:]:
            if dim % self.head_dim:
                raise ConfigError(f"head_dim {self.head_dim} must divide the widths {self.dims[2:]} of stages 3 and 4.")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> StanConfig:
        lists: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**lists)


VARIANTS = {
    "stan-s": StanConfig(classes=400),
    "stan-xs": StanConfig(classes=400, dims=(56, 112, 224, 448), depths=(2, 5, 8, 2), head_dim=28),
    "stan-t": StanConfig(classes=400, dims=(32, 64, 128, 256), depths=(2, 3, 5, 2), head_dim=32, drop_path=0.1),
}


def variant(name: str, classes: int) -> StanConfig:
    """A named shape for a number of classes.

    Raises:
        ConfigError: no variant has this name.
    """
    if name not in VARIANTS:
        raise ConfigError(f"No model is called {name!r}; choose one of {', '.join(VARIANTS)}.")
    return replace(VARIANTS[name], classes=classes)


class DropPath(nn.Module):
    """Stochastic depth per sample (arXiv 1603.09382)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        keep = 1.0 - self.rate
        mask = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(keep)
        return x * mask / keep


class ConvMlp(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv3d(dim, 4 * dim, 1)
        self.fc2 = nn.Conv3d(4 * dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Mlp(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Attention(nn.Module):
    """Multi-head self-attention over all space-time tokens."""

    def __init__(self, dim: int, head_dim: int) -> None:
        super().__init__()
        self.heads = dim // head_dim
        self.scale = head_dim**-0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [B, heads, N, d]
        x = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        return self.proj(x.transpose(1, 2).reshape(b, n, c))


class LocalBlock(nn.Module):
    """Stages 1 and 2: the token affinity is a learned 5x5x5 depthwise kernel."""

    def __init__(self, dim: int, drop_path: float) -> None:
        super().__init__()
        self.pos_embed = nn.Conv3d(dim, dim, 3, padding=1, groups=dim)
        self.norm1 = nn.BatchNorm3d(dim)
        self.conv1 = nn.Conv3d(dim, dim, 1)
        self.attn = nn.Conv3d(dim, dim, 5, padding=2, groups=dim)
        self.conv2 = nn.Conv3d(dim, dim, 1)
        self.norm2 = nn.BatchNorm3d(dim)
        self.mlp = ConvMlp(dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pos_embed(x)
        x = x + self.drop_path(self.conv2(self.attn(self.conv1(self.norm1(x)))))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class GlobalBlock(nn.Module):
    """Stages 3 and 4: the token affinity is self-attention."""

    def __init__(self, dim: int, head_dim: int, drop_path: float) -> None:
        super().__init__()
        self.pos_embed = nn.Conv3d(dim, dim, 3, padding=1, groups=dim)
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, head_dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pos_embed(x)
        shape = x.shape
        x = x.flatten(2).transpose(1, 2)  # [B, T*H*W, C]
        x = x + self.drop_path(self.attn(self.norm1(x)))
        x = x + self.drop_path(self.mlp(self.norm2(x)))
        return x.transpose(1, 2).reshape(shape)


class PatchEmbed(nn.Module):
    """Strided convolution, then LayerNorm over channels."""

    def __init__(self, dim_in: int, dim: int, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        padding = (kernel[0] // 2, 0, 0)
        self.proj = nn.Conv3d(dim_in, dim, kernel, stride, padding)
        self.norm = nn.LayerNorm(dim, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj(x)
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)


class Stan(nn.Module):
    """Video in, class logits out.

    `forward` takes float `[B, 3, T, H, W]`, RGB, `(x / 255 - 0.45) / 0.225`; T = 20 in every published setting,
    H and W at least 32. It returns `[B, classes]`.
    """

    def __init__(self, config: StanConfig) -> None:
        super().__init__()
        self.config = config
        rates = torch.linspace(0, config.drop_path, sum(config.depths)).tolist()
        dim_in = 3
        for stage, (dim, depth) in enumerate(zip(config.dims, config.depths, strict=True), start=1):
            kernel, stride = ((3, 4, 4), (2, 4, 4)) if stage == 1 else ((1, 2, 2), (1, 2, 2))
            setattr(self, f"patch_embed{stage}", PatchEmbed(dim_in, dim, kernel, stride))
            blocks = [
                LocalBlock(dim, rates.pop(0)) if stage <= 2 else GlobalBlock(dim, config.head_dim, rates.pop(0))
                for _ in range(depth)
            ]
            setattr(self, f"blocks{stage}", nn.Sequential(*blocks))
            dim_in = dim
        self.norm = nn.BatchNorm3d(dim_in)
        self.head = nn.Linear(dim_in, config.classes)
        self.apply(_init_linear)

    def features(self, clip: Tensor) -> Tensor:
        """Output of the final norm, `[B, C, T/2, H/32, W/32]`; the head is linear in its mean."""
        x = clip
        for stage in range(1, 5):
            x = getattr(self, f"patch_embed{stage}")(x)
            x = getattr(self, f"blocks{stage}")(x)
        return self.norm(x)

    def forward(self, clip: Tensor) -> Tensor:
        return self.head(self.features(clip).mean((2, 3, 4)))


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
