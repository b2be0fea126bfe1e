"""A small residual network for the benchmarks: three stages of one block each, 8, 16 and 32 channels, 10 classes."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):  # type: ignore[misc]
    """Two 3x3 convolutions beside a shortcut, which has a 1x1 convolution where channels or rows change."""

    def __init__(self, channels: int, made: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, made, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(made)
        self.second = nn.Conv2d(made, made, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(made)
        self.shortcut = (
            nn.Sequential()
            if stride == 1 and channels == made
            else nn.Sequential(nn.Conv2d(channels, made, 1, stride, bias=False), nn.BatchNorm2d(made))
        )

    def forward(self, images: Tensor) -> Tensor:
        """``(images, channels, rows, columns)`` in, ``(images, made, rows / stride, columns / stride)`` out."""
        inner = functional.relu(self.first_norm(self.first(images)))
        return functional.relu(self.second_norm(self.second(inner)) + self.shortcut(images))


def residual() -> nn.Module:
    """Return it, for images of one channel."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        Block(8, 8, 1), Block(8, 16, 2), Block(16, 32, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip
