"""A network as files that need no Dovetail: ONNX, an exported program, plain weights with a module of Python."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dovetail.accuracy.standalone import reason_of, standalone_source
from dovetail.errors import DovetailError, InputError, MissingExtraError
from dovetail.files import write_bytes
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("export of networks")

#: The version of ONNX's operations that is written: the first that onnx's own evaluator computes integers of.
OPSET = 19
#: What each form is called, and its file.
FILES = {"onnx": "network.onnx", "program": "network.pt2", "module": "network.py", "state_dict": "state_dict.pt"}


@dataclass(frozen=True)
class Exported:
    """What was written of a network.

    Attributes:
        files: by what they are, of `FILES`.
        notes: why another is not there.
    """

    files: Mapping[str, Path]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, str]:
        """Return the files' paths by what they are."""
        return {kind: str(path) for kind, path in self.files.items()}


def export_network(
    model: Any, shape: Sequence[int], folder: Path, about: str, onnx: Callable[[], bytes] | None = None
) -> Exported:
    """Write a network into a folder in every form that it has; a form that fails is left out, with a note.

    Args:
        model: in evaluation mode, on the CPU.
        shape: of one input, ``(batch, channels, rows, columns)``; the batch stays open in ONNX and in the module.
        folder: to write into.
        about: the first line of the module's text.
        onnx: returns the network in ONNX, where its numbers are narrow, which has no other form; None: they are not.

    Raises:
        WriteError: a file can't be written.
    """
    forms: dict[str, Callable[[], bytes]] = {
        "onnx": onnx or (lambda: onnx_bytes(model, shape, open_batch=True)),
        "program": lambda: _program(model, shape),
        "module": lambda: standalone_source(model, shape, about, FILES["state_dict"]).encode(),
        "state_dict": lambda: _packed(model.state_dict()),
    }
    files, notes = {}, []
    for kind, form in forms.items():
        path = folder / FILES[kind]
        try:
            if onnx is not None and kind in ("program", "module"):
                raise InputError("its narrow numbers are brevitas's, which torch alone does not have")
            content = form()
        except DovetailError as error:
            path.unlink(missing_ok=True)  # one of an earlier network does not stay beside the others
            notes.append(f"no {FILES[kind]}: {error.message if isinstance(error, InputError) else error}")
            continue
        write_bytes(path, content)
        files[kind] = path
    return Exported(files, tuple(notes))


def onnx_bytes(model: Any, shape: Sequence[int], *, open_batch: bool = False) -> bytes:
    """Return a network in ONNX, its weights by their names, normalisation apart from convolutions.

    Args:
        model: the network; it stays as it is.
        shape: of its input, ``(batch, channels, rows, columns)``.
        open_batch: leave the batch's size to whoever runs it.

    Raises:
        InputError: torch cannot export it.
        MissingExtraError: when onnx is absent.
    """
    if importlib.util.find_spec("onnx") is None:
        raise MissingExtraError("writing ONNX files", "onnx")
    device, training, packed = next(model.parameters()).device, model.training, io.BytesIO()
    axes = {"images": {0: "batch"}, "classes": {0: "batch"}} if open_batch else None
    try:
        with warnings.catch_warnings(), _unprinted():
            # the exporter that keeps weights' names and needs nothing but torch says that it is the older one
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model.eval(), (torch.zeros(tuple(shape), device=device),), packed, dynamo=False, opset_version=OPSET,
                training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
                input_names=["images"], output_names=["classes"], dynamic_axes=axes,
            )  # fmt: skip
    except InputError:
        raise
    except Exception as error:  # whatever the exporter meets in the network's code
        raise InputError(f"torch can't export the network: {reason_of(error)}") from None
    finally:
        model.train(training)
    return packed.getvalue()


@contextlib.contextmanager
def _unprinted() -> Iterator[None]:
    """Keep the exporter from printing the graph that it fails on, which it does whatever its log is set to."""
    log = torch._C._jit_onnx_log
    torch._C._jit_onnx_log = lambda *_: None
    try:
        yield
    finally:
        torch._C._jit_onnx_log = log


def _program(model: Any, shape: Sequence[int]) -> bytes:
    """Return the network as ``torch.export.save`` writes it, for images of this shape, the batch included."""
    packed = io.BytesIO()
    try:
        # the exporter prints the graph that it fails on
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            torch.export.save(torch.export.export(model.eval(), (torch.zeros(tuple(shape)),)), packed)
    except Exception as error:  # whatever the exporter meets in the network's code
        raise InputError(f"torch can't export the network: {reason_of(error)}") from None
    return packed.getvalue()


def _packed(state: Mapping[str, Any]) -> bytes:
    packed = io.BytesIO()
    torch.save(dict(state), packed)
    return packed.getvalue()


__all__ = ["FILES", "OPSET", "Exported", "export_network", "onnx_bytes"]
