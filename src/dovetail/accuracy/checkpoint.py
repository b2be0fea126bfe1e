"""Checkpoints: written whole or not at all, read without running anything that stands in them."""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from dovetail.document import not_a_file
from dovetail.errors import DovetailError, InputError, MissingExtraError
from dovetail.files import sole_holder, write_bytes, write_text
from dovetail.text import first_line
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("checkpoints")

#: More than any file of figures has.
_FIGURES_BYTES = 10_000

_NOTHING: Mapping[str, type] = {}

#: What our files say they are; a later form gets another number.
FORMAT = "dovetail-checkpoint-1"


def write_json(path: Path, content: Any) -> None:
    """Write a value as indented JSON, atomically."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_text(path, text)


def read_figures(path: Path, *names: str) -> list[float] | None:
    """Read finite numbers by their names, as `write_json` wrote them; None when there is no such file.

    Raises:
        InputError: when the file is damaged, or holds anything else.
    """
    try:
        with path.open("rb") as stream:
            content = json.loads(stream.read(_FIGURES_BYTES))
        figures = [float(content[name]) for name in names]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        figures = [math.nan]
    if not all(map(math.isfinite, figures)):
        raise InputError(f"damaged: expected {' and '.join(names)}; delete it to measure anew", file=path) from None
    return figures


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint of tensors and plain values, atomically.

    Raises:
        WriteError: it can't be written; a former one stays.
    """
    packed = io.BytesIO()  # on a full disk, torch's own writing ends in its own errors
    torch.save({"format": FORMAT, **content}, packed)
    write_bytes(path, packed.getvalue())


def load(path: Path, device: Any = "cpu", expected: Mapping[str, type] = _NOTHING) -> dict[str, Any]:
    """Read a checkpoint with ``weights_only``: nothing in the file is executed.

    Args:
        path: the file.
        device: to put its tensors on.
        expected: keys that must be there, with the types of their values.

    Raises:
        InputError: when the file is absent, broken, holds more than tensors and plain values, or is not ours.
    """
    if not path.is_file():
        raise InputError("there is no such checkpoint" if not path.exists() else not_a_file(path), file=path)
    try:
        content = _loaded(path, device)
    except InputError:
        raise
    except Exception as error:  # torch raises what its readers meet: pickle, zip, value and runtime errors
        reason = first_line(error)
        raise InputError(
            f"not a checkpoint of tensors and plain values ({type(error).__name__}: {reason})", file=path
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"not written by `dovetail train` (its 'format' must be '{FORMAT}')", file=path)
    for key, kind in expected.items():
        if not isinstance(content.get(key), kind):
            raise InputError(f"expected {kind.__name__}, found {type(content.get(key)).__name__}", file=path, key=key)
    return content


def _loaded(path: Path, device: Any) -> Any:
    """Load a file that torch saved; one that unpacks to more than it holds is no such file, and is refused."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise InputError("holds compressed entries, which torch never writes; refused", file=path)
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise InputError("unpacks to more than it holds; refused", file=path)
    return torch.load(path, map_location=device, weights_only=True)


def _safetensors(path: Path) -> Any:
    if importlib.util.find_spec("safetensors") is None:
        raise MissingExtraError("a .safetensors file", "timm")
    return importlib.import_module("safetensors.torch").load_file(path)


def load_weights(path: Path) -> dict[str, Any]:
    """Read weights by name, from a checkpoint of ours, a ``state_dict`` that torch saved, or a ``.safetensors`` file.

    Raises:
        InputError: when the file is none of these.
        MissingExtraError: when it is a ``.safetensors`` file and the package of that name is absent.
    """
    try:
        weights: Any = load(path)["weights"]
    except (InputError, KeyError):
        if not path.is_file():
            raise
        try:
            weights = _safetensors(path) if path.suffix == ".safetensors" else _loaded(path, "cpu")
        except DovetailError:
            raise
        except Exception:
            weights = None
        for name in ("state_dict", "model"):  # how others wrap weights in their checkpoints
            if isinstance(weights, dict) and isinstance(weights.get(name), dict):
                weights = weights[name]
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise InputError("holds no weights: expected tensors by name, as `model.state_dict()` gives them", file=path)
    return weights


def apply_weights(model: Any, weights: dict[str, Any], file: Path | None = None) -> None:
    """Put weights into a network; raises InputError when they are not its own, as `check_weights` does.

    Parameters stay the objects that they are, so optimizers go on with them; brevitas's own ``load_state_dict`` makes
    new ones.
    """
    check_weights(model, weights, file)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            value.copy_(weights[name])


def check_weights(model: Any, weights: dict[str, Any], file: Path | None = None) -> None:
    """Check that weights are a network's own, name by name.

    Raises:
        InputError: when names or shapes differ; the first difference is named.
    """
    own = model.state_dict()
    for name in (name for name in weights if name not in own):
        raise InputError(f"the weights hold '{name}', which the network has not", file=file)
    for name, value in own.items():
        if name not in weights:
            raise InputError(f"the weights lack '{name}', which the network has", file=file)
        if not isinstance(weights[name], torch.Tensor) or value.shape != weights[name].shape:
            found = tuple(getattr(weights[name], "shape", ()))
            raise InputError(
                f"'{name}' has shape {found} in the weights, {tuple(value.shape)} in the network", file=file
            )
        if not _is_plain(weights[name]) or weights[name].is_floating_point() != value.is_floating_point():
            kind = f"{weights[name].dtype}, {weights[name].layout}, {weights[name].device.type}"
            raise InputError(f"'{name}' is {kind} in the weights, {value.dtype} in the network", file=file)


def _is_plain(value: Any) -> bool:
    """Whether a tensor holds real numbers, one beside the other."""
    return value.layout == torch.strided and not value.is_complex() and not value.is_quantized and not value.is_meta


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold a folder against a second process; the hold ends with the process, however that ends.

    Raises:
        InputError: when another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as holds:
        try:
            holds.enter_context(sole_holder(folder / ".lock", wait=False))
        except BlockingIOError:
            raise InputError("another process is training into this folder", file=folder) from None
        yield
