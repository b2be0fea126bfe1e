"""A small vision transformer: patches, blocks of attention and of two layers, a classifier; heads and widths may go.

`SelfAttention` and `FeedForward` say themselves which channels go together (``channel_groups``); see
`dovetail.shrink.discover`.
"""

from __future__ import annotations

from typing import Any

from dovetail.workload.torchvision_import import import_torch

torch = import_torch("networks for training")
nn = torch.nn

#: Patches along a side of an image, blocks, channels of a head, and how much wider the two layers are between them.
PATCHES, DEPTH, HEAD, WIDER = 4, 4, 8, 4


class SelfAttention(nn.Module):  # type: ignore[misc, name-defined]
    """Attention of heads that have ``size`` channels each: as many heads as its layers have channels for."""

    def __init__(self, width: int, heads: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.queries, self.keys, self.values = (nn.Linear(width, heads * size) for _ in range(3))
        self.out = nn.Linear(heads * size, width)

    def channel_groups(self) -> list[tuple[int, list[tuple[str, str]]]]:
        """Return which sides of which layers lose channels together, whole heads at a time."""
        return [(self.size, [("queries", "out"), ("keys", "out"), ("values", "out"), ("out", "in")])]

    def forward(self, tokens: Any) -> Any:
        """Return what the heads make of tokens ``(images, tokens, width)``."""
        queries, keys, values = (
            layer(tokens).unflatten(-1, (-1, self.size)).transpose(1, 2)
            for layer in (self.queries, self.keys, self.values)
        )
        scores = queries @ keys.transpose(-2, -1) * self.size**-0.5
        return self.out((scores.softmax(dim=-1) @ values).transpose(1, 2).flatten(2))


class FeedForward(nn.Module):  # type: ignore[misc, name-defined]
    """Two layers on each token, a GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.widen, self.narrow = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def channel_groups(self) -> list[tuple[int, list[tuple[str, str]]]]:
        """Return which sides of which layers lose channels together."""
        return [(1, [("widen", "out"), ("narrow", "in")])]

    def forward(self, tokens: Any) -> Any:
        """Return what the layers make of tokens."""
        return self.narrow(nn.functional.gelu(self.widen(tokens)))


class Block(nn.Module):  # type: ignore[misc, name-defined]
    """Attention and then the two layers, each added to what it reads, normalised in front."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.before_attention, self.attention = nn.LayerNorm(width), SelfAttention(width, heads, HEAD)
        self.before_layers, self.layers = nn.LayerNorm(width), FeedForward(width, WIDER * width)

    def forward(self, tokens: Any) -> Any:
        """Return the tokens with what both parts add."""
        tokens = tokens + self.attention(self.before_attention(tokens))
        return tokens + self.layers(self.before_layers(tokens))


class SmallViT(nn.Module):  # type: ignore[misc, name-defined]
    """Patches with learned places, blocks, and a classifier of their mean."""

    def __init__(self, width: int, classes: int, channels: int, size: int) -> None:
        super().__init__()
        patch = max(1, size // PATCHES)
        self.patches = nn.Conv2d(channels, width, patch, patch)
        self.places = nn.Parameter(torch.zeros(1, (size // patch) ** 2, width))
        nn.init.trunc_normal_(self.places, std=0.02)
        self.blocks = nn.Sequential(*(Block(width, max(2, width // HEAD)) for _ in range(DEPTH)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, images: Any) -> Any:
        """Return the classes' scores of images ``(images, channels, rows, columns)``."""
        tokens = self.patches(images).flatten(2).transpose(1, 2) + self.places
        return self.head(self.norm(self.blocks(tokens)).mean(dim=1))


__all__ = ["SelfAttention", "SmallViT"]
