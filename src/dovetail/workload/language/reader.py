"""Language models by name or file: bundled configurations, and any ``config.json`` as Hugging Face writes it."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path

from dovetail.document import Node, parse_document, read_text
from dovetail.errors import InputError, did_you_mean
from dovetail.text import printable
from dovetail.workload.language.configuration import Configuration
from dovetail.workload.language.encoders import OTHERS
from dovetail.workload.language.families import DECODERS
from dovetail.workload.language.model import LanguageModel

_MODELS = resources.files("dovetail.workload") / "language" / "models"
_FAMILIES = {**DECODERS, **OTHERS}
FILE = "config.json"


@functools.cache
def bundled_models() -> tuple[str, ...]:
    """Return the names of the bundled configurations."""
    names = (entry.name for entry in _MODELS.iterdir() if entry.name.endswith(".json"))
    return tuple(sorted(name.removesuffix(".json") for name in names))


def read_bundled_model(name: str) -> LanguageModel:
    """Read a bundled configuration."""
    file = f"{name}.json"
    return model_of(parse_document((_MODELS / file).read_text(encoding="utf-8"), file=file), name=name)


def is_model_file(path: Path) -> bool:
    """Tell whether a path is a configuration, or a folder with one."""
    return path.suffix == ".json" or (path.is_dir() and (path / FILE).is_file())


def read_model(path: Path) -> LanguageModel:
    """Read a configuration, or a folder's.

    Raises:
        InputError: with file, line and key.
    """
    file = path / FILE if path.is_dir() else path
    name = file.stem if file.name != FILE else file.resolve().parent.name
    return model_of(parse_document(read_text(file), file=str(file)), name=name or "model")


def model_of(document: Node, *, name: str) -> LanguageModel:
    """Return the model that a configuration describes.

    Raises:
        InputError: the family is not known, or a key is missing or wrong.
    """
    entries = document.mapping()
    if "text_config" in entries and "hidden_size" not in entries:
        inner = entries["text_config"]
        model = model_of(inner, name=name)
        return replace(model, notes=(*model.notes, f"{name}: only the part that reads and writes text is counted"))
    if "model_type" not in entries:
        raise document.fail("the key 'model_type' is missing: a model's config.json says its family there")
    node = entries["model_type"]
    family = node.text()
    if family not in _FAMILIES:
        raise node.fail(f"models of the family '{family}' are not read{did_you_mean(family, _FAMILIES)}")
    source = entries["source"].text() if "source" in entries else document.file
    try:
        model = _FAMILIES[family](Configuration(document, name=name, family=family, source=source))
    except InputError as error:
        raise error.placed(document.file) from None
    return replace(model, notes=(*model.notes, *_quantised(entries.get("quantization_config"), name)))


def _quantised(node: Node | None, name: str) -> Iterator[str]:
    """Yield a note where a configuration says that weights are kept in fewer bits."""
    if node is None or node.value is None:
        return
    said = node.mapping()
    how = [said[key].value for key in ("quant_method", "bits") if key in said]
    words = " ".join(f"{each} bits" if isinstance(each, int) else printable(str(each)) for each in how)
    yield (
        f"{name}: its quantization_config ({words or 'of no known kind'}) is not counted, weights are words of the "
        "design; --bits says otherwise"
    )
