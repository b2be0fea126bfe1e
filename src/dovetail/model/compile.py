"""How hot functions are compiled, and where the compiled code is kept from one process to the next.

Compiled code lies in the user's cache folder (`dovetail.store.cache_folder`), in a folder named by all that it is
made of: the files of every function and type that it refers to, however indirectly, and the constants. Numba itself
notices only changes of the one file that a function stands in, not of the files whose functions it inlines. Where
nothing can be kept, every process compiles anew.
"""

from __future__ import annotations

import functools
import gc
import inspect
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy
from numba.core.caching import FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler, Flags
from numba.core.types import BaseNamedTuple  # type: ignore[attr-defined]
from numba.extending import register_jitable

from dovetail.content import content_key
from dovetail.model.by_address import ByAddress, classes, holds_arrays
from dovetail.sources import digest_of
from dovetail.store import cache_folder

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Result = TypeVar("_Result")
#: Why a search that is interrupted has no answer.
NOT_COMPILED = "the code for an answer had not been compiled yet"
#: What these packages bring is told by their versions.
_LIBRARIES = ("numba", "numpy", "math")
#: What only compiled code calls needs no way in from Python and C, which is large for named tuples of arrays.
_NO_WRAPPERS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def jit(function: _Function) -> _Function:
    """Compile a function without the interpreter, on its first call with arguments of each type.

    It releases the interpreter's lock, keeps the order of floating-point operations, and divides as NumPy does (a
    division by zero gives infinity). What it calls must be compiled too: functions under `part`, or others under this
    decorator.
    """
    compiled = numba.njit(nogil=True, error_model="numpy", pipeline_class=_Whole)(function)
    compiled._cache = _Cache(function)
    return compiled  # type: ignore[no-any-return]


def jit_plain(function: _Function) -> _Function:
    """Compile as `jit` does a function that allocates nothing: without counting references it compiles far faster."""
    compiled = numba.njit(nogil=True, error_model="numpy", pipeline_class=_Plain, _nrt=False)(function)
    compiled._cache = _Cache(function)
    return compiled  # type: ignore[no-any-return]


def keeps_code(function: Callable[..., Any]) -> bool:
    """Return whether what is compiled of a function lasts longer than this process."""
    cache = getattr(function, "_cache", None)
    return isinstance(cache, _Cache) and cache.cache_path is not None


def is_kept(function: Callable[..., Any]) -> bool:
    """Return whether compiled code of a function is kept already."""
    cache = getattr(function, "_cache", None)
    return isinstance(cache, _Cache) and cache.is_filled


def is_at_hand(function: Callable[..., Any]) -> bool:
    """Return whether a function under `jit` can be called without compiling it for most arguments."""
    return bool(getattr(function, "signatures", ())) or is_kept(function)


def was_compiling(error: BaseException) -> bool:
    """Return whether an exception comes from within Numba, as an interrupt may: what it half did, it never does again.

    Nothing can be compiled after that in this process.
    """
    trace = error.__traceback__
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__")).startswith(("numba", "llvmlite")):
            return True
        trace = trace.tb_next
    return False


def resumed(result: Callable[[], _Result], stop: Callable[[], None]) -> _Result:
    """Return what a piece of work comes to that can be interrupted anywhere and asked again.

    A KeyboardInterrupt has it stopped, and asked for what it has; another one is passed on, and so is one that strikes
    while code is compiled or loaded. Nothing is compiled for what it has, which would take seconds: where that would be
    needed, a KeyboardInterrupt that says so is raised.
    """
    try:
        return result()
    except KeyboardInterrupt as interrupt:
        if was_compiling(interrupt):
            raise
    stop()
    _Haste.in_haste = True
    try:
        return result()
    finally:
        _Haste.in_haste = False


class _Haste:
    """Whether an answer is awaited for which nothing is to be compiled."""

    in_haste = False


def unkept_note() -> str:
    """Say why what this process looked for among compiled code is not kept, and what to do; empty where it is."""
    return next(iter(_unkept), "")


#: What `unkept_note` says, once there is anything to say.
_unkept: set[str] = set()


def part(*, inline: bool = False, allocates: bool = False) -> Callable[[_Function], _Function]:
    """Mark a function as one that compiled code may call, and that runs as plain Python everywhere else.

    Args:
        inline: whether it becomes part of whatever calls it; for what is called millions of times.
        allocates: whether it makes arrays; otherwise it counts references only when its caller does.
    """
    options: dict[str, Any] = {"pipeline_class": _Part, "forceinline": inline, **_NO_WRAPPERS}
    if allocates:
        options["_nrt"] = True
    return register_jitable(**options)  # type: ignore[no-any-return]


class _Flags(Flags):  # type: ignore[misc]
    """Numba's own, which compiles a function again for callers that differ in any option."""

    __slots__ = ()

    def __hash__(self) -> int:
        return hash(self._inherited())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Flags) and self._inherited() == other._inherited()

    def _inherited(self) -> tuple[Any, ...]:
        """Return the options that make a difference to what a function calls."""
        return self.nrt, self.error_model, str(self.fastmath)


class _Whole(Compiler):  # type: ignore[misc]
    """Compiles what Python calls."""

    def compile_extra(self, function: Any) -> Any:
        """Compile as Numba does, a third faster."""
        self.state.flags = _Flags(self.state.flags)
        collects = gc.isenabled()
        gc.disable()  # what compiling makes is kept until it ends: to look for what can be freed takes an eighth of it
        try:
            return super().compile_extra(function)
        finally:
            if collects:
                gc.enable()


class _Plain(_Whole):
    """Compiles what Python calls and what counts no references."""

    def compile_extra(self, function: Any) -> Any:
        """Compile with what such functions need of Numba's passes."""
        self.state.library = _PlainLibrary(self.state.targetctx.codegen(), function.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(function)


class _PlainLibrary(JITCodeLibrary):  # type: ignore[misc]
    """Loops over a handful of dimensions and tensors: vectors of numbers would make these longer and slower."""

    def _optimize_final_module(self) -> None:
        passes, builder = self._codegen._module_pass_manager(loop_vectorize=False, slp_vectorize=False)
        passes.run(self._final_module, builder)


class _Part(_Whole):
    """Optimises lightly: what a function calls is optimised in full with it, once, not at every level of calls."""

    def compile_extra(self, function: Any) -> Any:
        """Compile at level 1; at level 0, generating code for named tuples of arrays takes longer than that."""
        if not any(holds_arrays(one) for one in self.state.args):
            self.state.flags.noalias = True  # of what is handed on by address nothing is written
        before, numba.config.OPT = numba.config.OPT, 1
        self.state.library = _PartLibrary(self.state.targetctx.codegen(), function.__qualname__)
        self.state.library.enable_object_caching()
        try:
            return super().compile_extra(function)
        finally:
            numba.config.OPT = before


class _PartLibrary(JITCodeLibrary):  # type: ignore[misc]
    """Intermediate code only: machine code is made of the functions that Python calls, parts and all."""

    def get_pointer_to_function(self, name: str) -> int:
        """Return 0, no such function: nothing but compiled code calls a part."""
        return 0

    @property
    def codegen(self) -> Any:
        """What would be told where the part's globals lie in memory."""
        return self

    def set_env(self, name: str, environment: Any) -> None:
        """Ignore it."""

    def _optimize_final_module(self) -> None:
        return

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class _FunctionCache(FunctionCache):  # type: ignore[misc]
    """Numba's own, which takes two named tuples for the same when their names and the types of their fields are."""

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        fields = tuple(classes(one) for one in getattr(sig, "args", sig) if isinstance(one, BaseNamedTuple))
        return (*super()._index_key(sig, codegen), fields)


class _Cache:
    """What Numba asks for compiled code; it decides where to look at the first call, not when it is imported."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @functools.cached_property
    def _files(self) -> FunctionCache | None:
        folder = _folder(self._function)
        if folder is None:
            return None
        before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
        try:
            return _FunctionCache(self._function)
        finally:
            numba.config.CACHE_DIR = before

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return compiled code for these types; None when there is none, or none that can be read.

        Raises:
            KeyboardInterrupt: there is none, and nobody waits for it any more; see `resumed`.
        """
        try:
            found = None if self._files is None else self._files.load_overload(signature, target)
        except Exception:  # whatever is wrong with the file, compiling anew puts it right
            found = None
        if found is None and _Haste.in_haste:
            raise KeyboardInterrupt(NOT_COMPILED)
        return found

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep compiled code for the next process, unless the disk is full or gone."""
        try:
            if self._files is not None:
                self._files.save_overload(signature, compiled)
        except OSError:
            return

    @property
    def is_filled(self) -> bool:
        """Whether there is compiled code of this function, for whatever types."""
        files = self._files
        return files is not None and Path(files._cache_file._index_path).exists()

    @property
    def cache_path(self) -> str | None:
        """Where the compiled code of this function lies; None when it is not kept."""
        return None if self._files is None else self._files.cache_path


def _folder(function: Callable[..., Any]) -> Path | None:
    """Return the folder for what is compiled of a function; None when none can be written."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    base = Path(chosen) if chosen else cache_folder()
    anew = "every process compiles anew, which takes minutes"
    if base is None:
        _unkept.add(f"there is no folder for compiled code: {anew}; NUMBA_CACHE_DIR names one for it alone")
        return None
    folder = base / "compiled" / made_of(function)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        why = f"cannot be written ({error.strerror or error})"
        _unkept.add(f"compiled code is not kept, as {base} {why}: {anew}; NUMBA_CACHE_DIR names another folder for it")
        return None


def made_of(function: Callable[..., Any]) -> str:
    """Return the key of all that goes into the compiled code of a function.

    That is the files of the functions and named tuples that it refers to, of those that they refer to, and so on, and
    the values of the constants among them. What libraries bring is told by their versions.
    """
    waiting, functions, files, constants = [function], set[Any](), {__file__, inspect.getfile(ByAddress)}, set[str]()
    while waiting:
        one = waiting.pop()
        if one not in functions:
            functions.add(one)
            files.add(inspect.getfile(one))
            for name, value in _referred(one):
                if inspect.isfunction(value):
                    waiting.append(value)
                elif inspect.isclass(value) and value.__module__ != "builtins":
                    files.add(inspect.getfile(value))
                elif isinstance(value, bool | int | float | complex | str | tuple | None):
                    constants.add(f"{one.__module__}.{name}={value!r}")
                elif isinstance(value, numpy.ndarray):
                    constants.add(f"{one.__module__}.{name}={value.dtype}{value.shape}{value.tobytes()!r}")
    return content_key(digest_of(files), constants)[:24]


def _referred(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Yield our own functions and types, and constants, that a function's code names."""
    seen = inspect.getclosurevars(function)
    for name, value in {**seen.globals, **seen.nonlocals}.items():
        if inspect.ismodule(value):
            parts = {name: getattr(value, name) for name in seen.unbound if hasattr(value, name)}
        else:
            parts = {name: value}
        for part_name, one in parts.items():
            plain = getattr(one, "py_func", one)
            if not (getattr(plain, "__module__", None) or "").startswith(_LIBRARIES):
                yield part_name, plain
