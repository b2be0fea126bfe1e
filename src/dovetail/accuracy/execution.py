"""Where and how training runs: device, number format, memory layout, threads; none of it is part of the recipe."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dovetail.errors import InputError, did_you_mean
from dovetail.text import first_line
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("training and evaluation")

#: More threads than any machine has; torch crashes where it can't start as many.
MAX_THREADS = 1024

#: Channels in a block of oneDNN's, at most (AVX-512; 8 with AVX2).
MOST_IN_BLOCK = 16

_PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Execution:
    """Where training and evaluation run.

    Attributes:
        device: ``cpu``, ``cuda``, ``cuda:1``, ...; ``auto`` takes the GPU if there is one.
        precision: ``fp32``, or mixed with ``bf16`` or ``fp16`` (whose gradients are scaled); ``auto`` mixes on a GPU.
        channels_last: memory layout of images and convolutions; it is faster on GPUs and CPUs alike.
        threads: of torch, while it runs; results on a CPU may depend on it in the last bits, so it is fixed.
        checkpoint_seconds: between two checkpoints; one is written after every epoch in any case.
    """

    device: str = "auto"
    precision: str = "auto"
    channels_last: bool = True
    threads: int = 1
    checkpoint_seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.precision not in _PRECISIONS:
            raise InputError(f"unknown precision '{self.precision}'{did_you_mean(self.precision, _PRECISIONS)}")
        if not 1 <= self.threads <= MAX_THREADS:
            raise InputError(f"threads is {self.threads}; it must be at least 1 and at most {MAX_THREADS}")

    @property
    def torch_device(self) -> Any:
        """The device; raises InputError when it is not there."""
        name = ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device
        try:
            device = torch.device(name)
            torch.zeros(1, device=device).item()  # the device `meta`, say, holds no numbers
        except (RuntimeError, AssertionError) as error:
            raise InputError(f"device '{name}' can't be used: {first_line(error)}") from None
        return device

    @property
    def mixed(self) -> str:
        """The number format of the forward pass: ``fp32``, ``bf16`` or ``fp16``."""
        if self.precision != "auto":
            return self.precision
        if self.torch_device.type != "cuda":
            return "fp32"
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"

    def memory_format(self) -> Any:
        """Return torch's memory format for images and four-axis weights."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def training_format(self, model: Any, *, sliced: bool = False) -> Any:
        """Return the memory format to train a network in: `memory_format`, unless a CPU would then write astray.

        oneDNN's gradient of a 1x1 convolution with strides writes beyond its workspace in that format where fewer
        channels come in than its blocks have (its issue 6035): the process dies, or gradients are wrong.

        Args:
            model: the network.
            sliced: slices of it are trained, of whatever channels and kernels.
        """
        if self.torch_device.type == "cpu" and any(_writes_astray(module, sliced) for module in model.modules()):
            return torch.contiguous_format
        return self.memory_format()

    def autocast(self) -> Any:
        """Return the context in which a forward pass runs."""
        kind = torch.float16 if self.mixed == "fp16" else torch.bfloat16
        return torch.autocast(self.torch_device.type, dtype=kind, enabled=self.mixed != "fp32")

    def scaler(self) -> Any:
        """Return the gradient scaler; it does nothing unless the precision is ``fp16``."""
        return torch.amp.GradScaler(self.torch_device.type, enabled=self.mixed == "fp16")

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Set threads and deterministic kernels for a while, and leave torch's generators as they were after it.

        Raises:
            MemoryError: where torch says in its own way that it found no memory.
        """
        threads, deterministic = torch.get_num_threads(), torch.backends.cudnn.deterministic
        benchmark = torch.backends.cudnn.benchmark
        device = self.torch_device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.set_num_threads(self.threads)
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
            try:
                yield
            except RuntimeError as error:
                if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
                    raise MemoryError from None
                raise
            finally:
                torch.set_num_threads(threads)
                torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = deterministic, benchmark


def _writes_astray(module: Any, sliced: bool) -> bool:
    """Return whether a layer is a 1x1 convolution with strides and fewer channels than oneDNN's blocks, or may be."""
    if not isinstance(module, torch.nn.Conv2d) or math.prod(module.stride) == 1:
        return False
    return sliced or (math.prod(module.kernel_size) == 1 and module.in_channels // module.groups < MOST_IN_BLOCK)


__all__ = ["Execution"]
