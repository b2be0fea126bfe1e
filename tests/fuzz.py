"""Attacks every reader with mutated valid documents, through the command line: success or one message, nothing else.

Run it for as long as you like::

    python tests/fuzz.py --seconds 3600 --keep findings

What it keeps are tests as they are: a finding that is mended goes into ``tests/data/fuzz``, and `test_fuzz` attempts it
ever after.

An attempt is a command with the files it names (`fuzz_cases`), the same for the same number. It passes when the command
succeeds, or ends with exit code 2 and one message, within `CPU_SECONDS` and `MEMORY_BYTES`, with nothing printed that
acts on a terminal. Anything else is a finding: it is printed, and kept as a file with ``--keep``. The attempts run in a
process of their own, so that one that kills it is a finding, too.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import random
import re
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from dovetail.cli.main import main
from dovetail.errors import DovetailError
from fuzz_cases import READERS, TARGETS, Case

CPU_SECONDS = 10.0
MEMORY_BYTES = 2**30
#: Seconds without any sign of life after which the process that attempts is killed, where it could work.
WALL_SECONDS = 300.0
#: Seconds for it to start: what it compiles is kept, but the first time takes minutes.
START_SECONDS = 1800.0

#: Where compiled code is kept.
_CACHE = Path(os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parent.parent / ".pytest_cache")))
#: Commands that keep results from one attempt to the next, as mapping the same layers again would be all their work.
_KEEPING = ("shrink",)

#: Messages of a first check: the text could not even be parsed, or the command line was refused as such.
_FIRST = re.compile(
    r"is not YAML|is no valid template|is not UTF-8|is no ONNX file|is no exported program|can't be read|cannot be read"
    r"|not a checkpoint|is no plain pickle|is no row of cells|more than \d+ deep|unpacks to"
    r"|the first line must be|is no NumPy array|is no config of"
)
#: A file's line in a message about the command line: an option named the file, which was read.
_LINE = re.compile(r"/fuzz-\w+/\S+:\d+: ")


class _OutOfTime(BaseException):
    """An attempt used up its time; no ``except Exception`` on its way holds it."""


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt.

    Attributes:
        kind: ``accepted``, ``refused`` (past the first check), ``unread`` (by the first check) or ``finding``.
        text: the message, or what is wrong.
        signature: tells findings apart: the exception and where it came from.
    """

    kind: str
    text: str = ""
    signature: str = ""


def case_of(number: int, only: str = "") -> tuple[str, Case]:
    """Return an attempt's target and case, the same for the same number."""
    chance = random.Random(number)
    target = only or chance.choice(list(TARGETS))
    return target, TARGETS[target](chance)


def kept_case(path: Path) -> Case:
    """Return the case of a finding that was kept."""
    return Case.of_json(json.loads(path.read_text(encoding="utf-8")))


def outcome(case: Case, seconds: float = CPU_SECONDS) -> Outcome:
    """Run a case in this process, in a folder of its own, for so many CPU-seconds; 0 is without end."""
    log, here, cache = io.StringIO(), Path.cwd(), os.environ.get("DOVETAIL_CACHE", "")
    handler = logging.StreamHandler(log)
    logging.getLogger("dovetail").addHandler(handler)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        _write(case, Path(folder))
        (Path(folder) / "here").mkdir(exist_ok=True)
        os.chdir(Path(folder) / "here")
        began = time.process_time()
        try:
            with warnings.catch_warnings(), _limited(seconds):
                warnings.simplefilter("error")
                warnings.filterwarnings("ignore", module="torch")
                found = _run(case, Path(folder))
        except _OutOfTime:
            last = traceback.format_exc(limit=-4)
            found = Outcome(
                "finding", f"more than {seconds:g} CPU-seconds\n{last}", f"time {_where(sys.exc_info()[1])}"
            )
        except BaseException as error:  # what a command lets through
            found = Outcome("finding", traceback.format_exc(), f"{type(error).__name__} {_where(error)}")
        finally:
            os.chdir(here)
            os.environ["DOVETAIL_CACHE"] = cache
            logging.getLogger("dovetail").removeHandler(handler)
        if found.kind != "finding" and 0 < seconds < time.process_time() - began:
            return Outcome("finding", f"{time.process_time() - began:.1f} CPU-seconds", "time")
        return found


def _run(case: Case, folder: Path) -> Outcome:
    name = case.arguments[0] if case.arguments else ""
    if name in READERS:
        try:
            READERS[name](folder)
        except DovetailError as error:
            return _judged("", f"dovetail: error: {error}\n", 2)
        return Outcome("accepted")
    err = io.StringIO()
    words = [word.replace("%DIR%", str(folder)) for word in case.arguments]
    os.environ["DOVETAIL_CACHE"] = str(_CACHE / "fuzz") if name in _KEEPING else "off"
    into = folder / "printed"  # a file: commands may ask for its number
    out = into.open("w", encoding="utf-8", newline="")
    with out, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        usage = False
        try:
            code: Any = main(words)
        except SystemExit as end:
            code, usage = end.code, True
    return _judged(into.read_text(encoding="utf-8"), err.getvalue(), code, usage=usage)


def _acting(text: str) -> list[str]:
    return sorted({sign for sign in text.replace("\n", "") if not sign.isprintable()})


def _judged(out: str, err: str, code: object, *, usage: bool = False) -> Outcome:
    """Judge what a command printed and how it ended."""
    if acting := _acting(out + err):
        return Outcome("finding", f"prints {acting}: {(out + err)[:2000]!r}", f"prints {acting[:1]} {err[:40]}")
    lines = [line for line in err.splitlines() if not re.match(r"dovetail: (note|warning): ", line)]
    if code == 0 or (code == 1 and not lines):  # a check that failed may have notes beside it
        return Outcome("accepted", err)
    if code != 2 or len(lines) != 1 or not re.match(r"dovetail[\w -]*: error: .", lines[0]):
        return Outcome("finding", f"exit code {code}, printed {err[:3000]!r}", f"exit {code} {err[:60]}")
    is_unread = (usage and not _LINE.search(err)) or _FIRST.search(err)
    return Outcome("unread" if is_unread else "refused", lines[0])


def _where(error: BaseException | None) -> str:
    steps = traceback.extract_tb(error.__traceback__) if error else []
    ours = [step for step in steps if "dovetail" in step.filename and "tests" not in step.filename]
    return f"{Path(ours[-1].filename).name}:{ours[-1].name}" if ours else ""


def _write(case: Case, folder: Path) -> None:
    for name, data in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Interrupt the body when it has used up its CPU time, again and again until it gives in."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _OutOfTime

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def warm_up(targets: list[str]) -> None:
    """Load and compile what attempts need, so that it counts neither as their time nor as their memory."""
    for target in targets:
        outcome(TARGETS[target](random.Random(0)), seconds=0)
    for samples in (("--samples", "2"), ("--time-limit", "1")):
        outcome(Case(("map", "alexnet:8", "--on", "simple_weight_stationary", *samples), {}), seconds=0)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123
        yield


def _attempt_all(first: int, only: str) -> None:
    """Be the process that attempts: say each attempt's number before, and what became of it after."""
    targets = [only] if only else list(TARGETS)
    with _silent():
        warm_up(targets)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, resource.RLIM_INFINITY))
    number = first
    while True:
        print(json.dumps({"number": number}), flush=True)
        target, case = case_of(number, only)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = outcome(case)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * 1024
        if found.kind != "finding" and grown > MEMORY_BYTES // 2:
            found = Outcome("finding", f"took {grown} bytes of memory", "memory")
        print(json.dumps({"number": number, "target": target, **vars(found)}), flush=True)
        number += 1


@dataclass
class _Tally:
    """What a run of the fuzzer has seen: attempts by target and kind, and findings by signature."""

    kinds: Counter[tuple[str, str]]
    findings: dict[str, tuple[int, str, str]]
    keep: Path | None
    only: str

    def take(self, answer: dict[str, Any]) -> None:
        self.kinds[answer["target"], answer["kind"]] += 1
        signature = f"{answer['target']}: {answer['signature']}"
        if answer["kind"] != "finding" or signature in self.findings:
            return
        self.findings[signature] = answer["number"], answer["target"], answer["text"]
        sys.stderr.write(f"\nattempt {answer['number']}, {signature}\n{answer['text'].rstrip()}\n")
        if self.keep is not None:
            self.keep.mkdir(parents=True, exist_ok=True)
            name = re.sub(r"\W+", "-", f"{answer['target']} {answer['signature']}")[:80].strip("-").lower()
            content = {
                "found": signature,
                "said": _last(answer["text"]),
                **case_of(answer["number"], self.only)[1].to_json(),
            }
            (self.keep / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")

    def print(self) -> None:
        """Print how often each target was attempted, and what share got past the first check."""
        print(f"{'target':18} {'attempts':>9} {'past the first check':>21} {'accepted':>9} {'findings':>9}")
        for target in [*TARGETS, ""]:
            of = {kind: sum(n for (t, k), n in self.kinds.items() if k == kind and target in ("", t))
                  for kind in ("accepted", "refused", "unread", "finding")}  # fmt: skip
            if count := sum(of.values()):
                past, accepted = (count - of["unread"]) / count, of["accepted"] / count
                print(f"{target or 'all':18} {count:>9} {past:>20.0%} {accepted:>9.0%} {of['finding']:>9}")


def _last(text: str) -> str:
    """Return what a finding said last, with no path of this machine in it: findings may be kept as tests."""
    line = next((line for line in reversed(text.splitlines()) if line.strip()), "").strip()
    return re.sub(rf"{re.escape(tempfile.gettempdir())}/fuzz-\w+", "%DIR%", line)[-400:]


def _watch(first: int, seconds: float, tally: _Tally) -> None:
    """Start the process that attempts, and another one when an attempt has killed it; time counts from the first."""
    end: float | None = None
    while end is None or time.monotonic() < end:
        command = [sys.executable, __file__, "--attempt", "--first", str(first), "--only", tally.only]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
            assert process.stdout is not None
            last, begun, silent = first - 1, False, ""
            while True:
                silent = _silence(process, WALL_SECONDS if begun else START_SECONDS)
                if silent or not (line := process.stdout.readline()):
                    break
                answer, begun = json.loads(line), True
                end = end or time.monotonic() + seconds
                last = answer["number"]
                if "kind" in answer:
                    tally.take(answer)
                    if time.monotonic() >= end:
                        process.kill()
                        return
            process.kill()
            said = process.stderr.read().decode(errors="replace") if process.stderr else ""
        if not begun:
            raise SystemExit(f"the process that attempts does not start:\n{said}")
        text = f"{silent or 'ended the process'}\n{said[-2000:]}"
        target = case_of(last, tally.only)[0]
        tally.take({"number": last, "target": target, "kind": "finding", "text": text, "signature": "killed"})
        first = last + 1


def _silence(process: subprocess.Popen[bytes], seconds: float) -> str:
    """Wait for a sign of life; say for how long there was none, on the clock and of work, or nothing if there is one.

    It is work that counts: on a busy machine an attempt may be kept from it for minutes.
    """
    assert process.stdout is not None
    began, worked = time.monotonic(), _worked(process.pid)
    while not select.select([process.stdout], [], [], 1.0)[0]:
        passed, work = time.monotonic() - began, _worked(process.pid) - worked
        if passed > seconds and (work > 2 * CPU_SECONDS or _load() < 1 or passed > 10 * seconds):
            return f"took more than {passed:.0f} seconds, {work:.0f} of work"
    return ""


def _worked(pid: int) -> float:
    """Return the CPU seconds that a process has taken."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _load() -> float:
    """Return how many processes want to run for each CPU."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def _repeat(path: Path) -> int:
    found = outcome(kept_case(path))
    if found.signature.startswith("time"):  # it may have loaded and compiled what the next need not
        found = outcome(kept_case(path))
    print(f"{path.name}: {found.kind} {found.text}")
    return int(found.kind == "finding")


def _program() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--first", type=int, default=0, help="number of the first attempt, to repeat or go on")
    parser.add_argument("--only", default="", choices=("", *TARGETS), help="attack one target")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write findings into a folder")
    parser.add_argument(
        "--repeat", type=Path, metavar="PATH", help="attempt a finding that was kept, or a folder of them"
    )
    parser.add_argument("--attempt", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ |= {"DOVETAIL_CACHE": "off", "OMP_NUM_THREADS": "1"}
    if args.attempt:
        _attempt_all(args.first, args.only)
        return 0
    if args.repeat is not None:
        kept = sorted(args.repeat.glob("*.json")) if args.repeat.is_dir() else [args.repeat]
        with _silent():
            warm_up([])
        return max(_repeat(path) for path in kept)
    tally = _Tally(Counter(), {}, args.keep, args.only)
    for number in (signal.SIGINT, signal.SIGTERM):  # either may be ignored in the background of a shell
        signal.signal(number, lambda *_: sys.exit("told to end"))
    try:
        _watch(args.first, args.seconds, tally)
    finally:  # also where the fuzzer itself is at fault: what it found until then stands
        tally.print()
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(_program())
