"""Writes files whole: whoever reads one sees the old content or all of the new, also after `kill -9`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from dovetail.errors import InputError


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file in one go; its folder is made when missing.

    Raises:
        InputError: when it can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
                stream.write(text)
            os.chmod(temporary, 0o644)  # noqa: PTH101  mkstemp's own mode shuts everybody else out
            os.replace(temporary, path)  # noqa: PTH105
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", file=path) from None
