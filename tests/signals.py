"""Strikes commands with signals at random moments: one line, the exit code, no process left, nothing lost.

Run it for as many tries as you like::

    python tests/signals.py --tries 200 --seed 1

Every try starts a command, on a terminal of its own or without one, sends it SIGINT, SIGTERM or SIGKILL (SIGINT and
SIGTERM also to all of its processes, as a terminal and a batch system do) and looks at what is left. Moments are told
by the CPU time that its processes have taken, so that a busy machine changes none; half of them lie in start-up and
imports. Some tries go on from what an earlier one has left, and some of these run to the end: their results must equal
those of a run that nothing struck. It prints each try that went wrong and a table of all, and ends with code 1 if any
did.
"""

from __future__ import annotations

import argparse
import fcntl
import importlib.util
import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

#: Exit code after each signal; a command that had ended before has 0.
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}
#: Seconds that a command may take to end, and a ``map`` that still answers: CPU seconds of its processes, and seconds
#: by the clock but for those in which anything on the machine waited for a CPU.
PROMPT, ANSWERING = 1.0, 4.0
#: Seconds after which no process may be left once a command has ended, however busy the machine.
LEFT = 5.0
#: CPU seconds of start-up and imports, in which half of all strikes fall.
START = 0.6
#: Share of tries that find no compiled code.
COLD = 0.2
TICKS = os.sysconf("SC_CLK_TCK")

#: Commands, and about the CPU seconds that they take. ``OUT`` is a folder of the try's own.
COMMANDS: list[tuple[str, float]] = [
    ("map resnet18:layer3.0.conv2 --on simple_weight_stationary --batch 16 --json", 3),
    ("map resnet18:layer1.0.conv1 --on eyeriss_like --front --json", 2),
    ("compare alexnet --on eyeriss_like simple_weight_stationary --csv OUT/costs.csv --json", 8),
    ("report alexnet --on eyeriss_like --no-front --csv OUT/tables --html OUT/page.html --json", 5),
    ("sweep-layer resnet18:layer1.0.conv1 --on eyeriss_like --dim M --values 8:64:8 --csv OUT/sweep.csv --json", 5),
    ("map resnet18:layer1.0.conv1 --on eyeriss_like --pad --json", 4),
    ("map resnet18:layer4.0.conv1 --on simple_weight_stationary --imperfect --time-limit 4 --json", 5),
    (
        "explore alexnet@32 --on eyeriss_like --vary shared_glb.depth=4096,16384 --axes area,edp --workers 2 "
        "--csv OUT/front.csv --certificate OUT/front.json --save-front OUT/front --json",
        6,
    ),
    ("tokens gpt2 --on tpu_like --context 64 --samples 50 --workers 2 --csv OUT/tokens.csv --json", 3),
    ("bound alexnet --on eyeriss_like --csv OUT/bound.csv --svg OUT/bound.svg --json", 6),
    ("explain resnet18:layer1.0.conv1 --on eyeriss_like --json", 4),
    ("advise alexnet@32 --on eyeriss_like --total-time 5 --workers 2 --json", 6),
    ("study --shapes study --csv OUT/study --json", 20),
]
WITH_TORCH: list[tuple[str, float]] = [
    ("train five-layer --data digits --width 2 --epochs 1 --seeds 2 --workers 2 --out OUT/train --json", 12),
    (
        "shrink five-layer --data digits --on eyeriss_like --target energy=0.8x --train-first --epochs 1 "
        "--supernet-epochs 1 --candidates 4 --finalists 1 --workers 2 --out OUT/shrink --json",
        25,
    ),
    (
        "shrink five-layer-2 --data digits --family simple_weight_stationary --vary shared_glb.depth=1024,16384 "
        "--target energy=0.8x --knobs resolution --epochs 1 --supernet-epochs 1 --candidates 4 --finalists 1 "
        "--no-reference --workers 2 --out OUT/family --json",
        25,
    ),
]
#: The extra ``quant`` is not everywhere that torch is. ``TRAINED`` is a network that is trained once for all tries.
WITH_QUANT: list[tuple[str, float]] = [
    (
        "bits TRAINED --data digits --on eyeriss_like --target energy=0.7x --tried 8,4 --epochs 1 --finalists 1 "
        "--workers 2 --out OUT/bits --json",
        20,
    ),
]
TRAINING = "train five-layer --data digits --width 2 --epochs 1 --out OUT --json"
#: Commands that answer a Ctrl-C with what they have found so far.
ANSWERS = ("map", "explore")
#: What a clock ends comes out otherwise each time.
TIMED = ("--time-limit", "--total-time")
#: Commands that take long: they are struck, and run to the end, less often than others.
SLOW = ("study", "train", "shrink", "bits")


@dataclass(frozen=True)
class Ended:
    """How a try ended.

    Attributes:
        code: exit code.
        told: what it wrote on its terminal, or on stderr.
        output: what it wrote on stdout.
        seconds: from the signal on until no process was left, but for those in which something waited for a CPU; None
            where one was left `LEFT` seconds after the command had ended.
        work: CPU seconds that its processes took from the signal on.
        was_deaf: whether Python had not begun to run the command when the signal came.
        settings_kept: whether its terminal is set as it was.
    """

    code: int
    told: str
    output: str
    seconds: float | None
    work: float
    was_deaf: bool = False
    settings_kept: bool = True


class Run:
    """A command at work, as the leader of a session, with a terminal for its stdin and stderr or without any."""

    def __init__(self, words: list[str], folder: Path, on_terminal: bool, *, is_cold: bool = False) -> None:
        ours, theirs = pty.openpty() if on_terminal else os.pipe()
        self._terminal = ours if on_terminal else None
        self._settings = termios.tcgetattr(ours) if on_terminal else None
        compiled = folder / "cache" if is_cold else folder.parent
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(compiled), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dovetail.cli.main", *words],
            env={**environment, "DOVETAIL_CACHE": str(folder / "cache"), "TERM": "xterm"},
            stdin=theirs if on_terminal else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: _as_a_shell(theirs if on_terminal else None),
        )
        if not on_terminal:
            os.close(theirs)  # a terminal's other end stays ours, too: its settings outlast the command
        self._theirs = theirs if on_terminal else None
        self._texts: dict[str, bytes] = {"told": b"", "output": b""}
        assert self.process.stdout is not None
        ends = {"told": ours, "output": self.process.stdout.fileno()}
        self._readers = [threading.Thread(target=self._read, args=each, daemon=True) for each in ends.items()]
        for reader in self._readers:
            reader.start()
        self._ours = ours

    def _read(self, name: str, handle: int) -> None:
        while True:
            try:
                part = os.read(handle, 65536)
            except OSError:  # a terminal that nobody holds open
                return
            if not part:
                return
            self._texts[name] += part

    def processes(self) -> dict[int, list[str]]:
        """Return the status fields, from the state on, of all processes of its session that are at work."""
        found = {}
        for path in Path("/proc").iterdir():
            if path.name.isdigit():
                try:
                    fields = (path / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[3]) == self.process.pid and fields[0] not in "ZX":
                    found[int(path.name)] = fields
        return found

    def _taken(self) -> dict[int, float]:
        """Return the CPU seconds that each of its processes has taken by now."""
        return {pid: (int(fields[11]) + int(fields[12])) / TICKS for pid, fields in self.processes().items()}

    def wait_for(self, cpu_seconds: float) -> None:
        """Wait until its processes have taken so much time, or it has ended."""
        while self.process.poll() is None:
            taken = sum(int(f[11]) + int(f[12]) + int(f[13]) + int(f[14]) for f in self.processes().values()) / TICKS
            if taken >= cpu_seconds:
                return
            time.sleep(0.002 if cpu_seconds - taken < 0.1 else 0.02)

    def is_listening(self) -> bool:
        """Whether it has a handler for SIGTERM, as Python by itself has none."""
        try:
            lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        except OSError:
            return False
        caught = [int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")]
        return bool(caught) and bool(caught[0] >> (signal.SIGTERM - 1) & 1)

    def strike(self, how: signal.Signals, everyone: bool) -> None:
        """Send a signal; a Ctrl-C for everyone is typed where there is a terminal."""
        if everyone and how == signal.SIGINT and self._terminal is not None:
            os.write(self._terminal, b"\x03")
        elif everyone:
            os.killpg(self.process.pid, how)
        else:
            os.kill(self.process.pid, how)

    def ended(self, patience: float = 300.0) -> Ended:
        """Wait until it has ended, and say how."""
        began, waited, before = time.monotonic(), _stalled(), self._taken()
        last = dict(before)
        while self.process.poll() is None and time.monotonic() - began < patience:
            last |= self._taken()
            time.sleep(0.005)
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self._texts["told"] += f"had not ended after {patience} s".encode()
            self.process.wait()
        over = time.monotonic()
        while self.processes() and time.monotonic() - over < LEFT:
            last |= self._taken()
            time.sleep(0.005)
        left = self.processes()
        seconds = None if left else max(0.0, time.monotonic() - began - (_stalled() - waited))
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        work = sum(last.values()) - sum(before.values())
        kept = self._settings is None or termios.tcgetattr(self._ours) == self._settings
        if self._theirs is not None:
            os.close(self._theirs)
        for reader in self._readers:
            reader.join(5)
        os.close(self._ours)
        told, output = (self._texts[name].decode(errors="replace") for name in ("told", "output"))
        return Ended(self.process.returncode, told, output, seconds, work, settings_kept=kept)


def _stalled() -> float:
    """Return for how many seconds, since the machine started, something on it has waited for a CPU."""
    try:
        return int(Path("/proc/pressure/cpu").read_text().split("total=")[1].split()[0]) / 1e6
    except (OSError, IndexError):  # not told here: all the time, or never
        cpus = os.cpu_count() or 1
        return time.monotonic() if os.getloadavg()[0] > cpus else 0.0


def _as_a_shell(terminal: int | None) -> None:
    """Before a command begins: its terminal is its session's, and SIGINT is not ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if terminal is not None:
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def struck(run: Run, cpu_seconds: float, how: signal.Signals, everyone: bool) -> Ended:
    """Strike a command when it has taken so much time."""
    run.wait_for(cpu_seconds)
    deaf = run.process.poll() is None and not run.is_listening()
    if run.process.poll() is None:
        run.strike(how, everyone)
    return replace(run.ended(), was_deaf=deaf)


def wrong(ended: Ended, words: list[str], how: signal.Signals) -> list[str]:
    """Say what is wrong with how a try ended."""
    found = []
    if ended.seconds is None:
        found.append(f"processes stayed behind for {LEFT:g} s")
    if not ended.settings_kept:
        found.append("the terminal is set otherwise")
    if ended.was_deaf:  # Python itself answers until it runs our first line
        return found
    if ended.code not in (0, CODES[how]):
        found.append(f"exit code {ended.code}")
    if how != signal.SIGKILL and ended.told.rfind("\x1b[?25l") > ended.told.rfind("\x1b[?25h"):
        found.append("the cursor is hidden")
    if "Traceback" in ended.told or "Error" in ended.told:
        found.append("a traceback")
    lines = [line for line in _seen(ended.told).splitlines() if line.strip() and not line.startswith(NOTE)]
    answered = words[0] in ANSWERS and bool(ended.output)
    limit = ANSWERING if answered else PROMPT
    if ended.code != 0 and max(ended.work, ended.seconds or 0.0) > limit:
        found.append(f"took {ended.work:.2f} CPU s and {ended.seconds or 0.0:.2f} s to end")
    if ended.code in (130, 143) and not answered and (len(lines) != 1 or not lines[0].startswith("dovetail: ")):
        found.append(f"{len(lines)} lines where one would do")
    if answered and ended.code != CODES[signal.SIGKILL]:
        found += _wrong_answer(words, json.loads(ended.output), ended.code)
    return found


NOTE = "dovetail: note: "


def _seen(told: str) -> str:
    """Return what stays on a terminal, but for the ``^C`` that it shows itself."""
    rows, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", told):
        if part == "\r":
            column = 0
        elif part == "\n":
            row, column = row + 1, 0
            rows += [""] * (row == len(rows))
        elif part.endswith("A") and part.startswith("\x1b"):
            row = max(0, row - int(part[2:-1] or 1))
        elif part.endswith("K") and part.startswith("\x1b"):
            rows[row] = "" if part == "\x1b[2K" else rows[row][:column]
        elif not part.startswith("\x1b"):
            rows[row] = rows[row][:column].ljust(column) + part + rows[row][column + len(part) :]
            column += len(part)
    return "\n".join(rows).replace("^C", "")


def _wrong_answer(words: list[str], answer: dict[str, Any], code: int) -> list[str]:
    """Say what is wrong with the answer of a command that a Ctrl-C may have ended."""
    if words[0] == "explore":
        return ["what was interrupted is called proven"] if code and answer["proven"] else []
    certificate = answer["certificate"]
    if code == 0 and not certificate["exact"] and not set(TIMED) & set(words):
        return ["exit code 0 with an answer that is not proven"]
    if certificate["bound"] > certificate["value"]:
        return ["a bound above the value"]
    return []


def damage(folder: Path) -> list[str]:
    """Say what is wrong with a store, and with what else was written."""
    from dovetail.store import Store

    found = [f"{path.name} is half written" for path in folder.rglob("*.json") if not _is_json(path)]
    if (folder / "cache").is_dir():
        with Store.open(folder / "cache" / "results-v2.sqlite3") as store:
            checked = store.verify()
        if checked.removed or checked.set_aside:
            found.append("the store is damaged")
    return found


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True


def results(folder: Path, output: str) -> dict[str, Any]:
    """Return what a command that ran to its end has left: its output and its tables, without what a clock says."""
    found = {"output": _timeless(json.loads(output), folder)}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".csv":
            found[str(path.relative_to(folder))] = path.read_text(encoding="utf-8")
        elif path.name == "result.json":
            found[str(path.relative_to(folder))] = _timeless(json.loads(path.read_text(encoding="utf-8")), folder)
    return found


def _timeless(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {
            key: _timeless(each, folder)
            for key, each in value.items()
            if key not in ("notes", "states", "searches", "reused") and "second" not in key
        }
    if isinstance(value, list):
        return [_timeless(each, folder) for each in value]
    return value.replace(str(folder), "OUT") if isinstance(value, str) else value


class Trial:
    """Tries of one command, each in the folder that the one before has left, or in a new one.

    Attributes:
        undisturbed: what it leaves when nothing strikes it; None before it is known.
    """

    def __init__(self, text: str, span: float, folder: Path) -> None:
        self.text, self.span, self.folder = text, span, folder
        self.undisturbed: dict[str, Any] | None = None

    def words(self) -> list[str]:
        """Return the command's words."""
        trained = self.folder.parent / "trained" / "five-layer-2-seed-0" / "best.pt"
        return self.text.replace("OUT", str(self.folder)).replace("TRAINED", str(trained)).split()

    def prepare(self) -> None:
        """Run it once, to its end, for what others read."""
        self.folder.mkdir()
        ended = Run(self.words(), self.folder, on_terminal=False).ended(patience=1200)
        assert ended.code == 0, ended.told

    def attempt(self, chance: random.Random) -> tuple[str, int, list[str], Ended]:
        """Make one try; return the signal's name, the exit code, what went wrong, and how it ended."""
        self.folder.mkdir(parents=True, exist_ok=True)
        how = chance.choice([signal.SIGINT] * 3 + [signal.SIGTERM] * 2 + [signal.SIGKILL])
        moment = chance.uniform(0, START) if chance.random() < 0.5 else START + chance.random() ** 2 * self.span
        everyone, tty = how != signal.SIGKILL and chance.random() < 0.5, chance.random() < 0.5
        run = Run(self.words(), self.folder, tty, is_cold=chance.random() < COLD)
        ended = struck(run, moment, how, everyone)
        found = wrong(ended, self.words(), how) + damage(self.folder)
        if how != signal.SIGKILL and (left := list(self.folder.rglob("*.partial"))):
            found.append(f"{left[0].name} is left")
        if found:
            to = f"{' to all' if everyone else ''}{', on a terminal' if tty else ''}"
            print(f"{self.text}\n  {how.name}{to} after {moment:.2f} CPU s: {'; '.join(found)}")
            print("  " + "\n  ".join(ended.told.splitlines()[-20:]), flush=True)
        return how.name, ended.code, found, ended

    def finish(self) -> list[str]:
        """Run it to the end from what is left, and once without that; say what differs."""
        again = self._whole()
        if set(TIMED) & set(self.words()):
            return ["exit code"] if "exit code" in again else []
        if self.undisturbed is None:
            shutil.rmtree(self.folder)
            self.folder.mkdir()
            self.undisturbed = self._whole()
        found = [name for name in {**again, **self.undisturbed} if again.get(name) != self.undisturbed.get(name)]
        for name in found:
            print(f"{self.text}\n  {name} differs after a signal:\n  {again.get(name)}\n  {self.undisturbed.get(name)}")
        return found

    def _whole(self) -> dict[str, Any]:
        ended = Run(self.words(), self.folder, on_terminal=False).ended(patience=1200)
        return results(self.folder, ended.output) if ended.code == 0 else {"exit code": (ended.code, ended.told)}


def main() -> int:
    """Make the tries."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tries", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="COMMAND,...", help="strike these commands only")
    parser.add_argument("--finish", type=float, default=0.15, metavar="SHARE", help="of tries after which it runs on")
    args = parser.parse_args()
    commands = COMMANDS + (WITH_TORCH if importlib.util.find_spec("torch") else [])
    commands += WITH_QUANT if importlib.util.find_spec("torch") and importlib.util.find_spec("brevitas") else []
    only = None if args.only is None else args.only.split(",")
    commands = [each for each in commands if only is None or each[0].split()[0] in only]
    seen: Counter[tuple[str, str, int | str]] = Counter()
    failed, finished = 0, 0
    slowest: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory(prefix="dovetail-signals-") as folder:
        chance = random.Random(args.seed)
        trials = [Trial(*each, Path(folder) / str(number)) for number, each in enumerate(commands)]
        if any("TRAINED" in trial.text for trial in trials):
            Trial(TRAINING, 0, Path(folder) / "trained").prepare()
        for count in range(args.tries):
            trial = chance.choices(trials, [1 if trial.text.split()[0] in SLOW else 3 for trial in trials])[0]
            name = trial.text.split()[0]
            how, code, found, ended = trial.attempt(chance)
            seen[name, how, "before Python ran it" if ended.was_deaf else code] += 1
            if code not in (0, -signal.SIGKILL):
                kind = f"{how}, with an answer" if ended.output and name == "map" else how
                before = slowest.get(kind, (0.0, 0.0))
                slowest[kind] = max(before[0], ended.work), max(before[1], ended.seconds or 0.0)
            if chance.random() < args.finish * (0.3 if name in SLOW else 1.0):
                finished += 1
                found = found + trial.finish()
                shutil.rmtree(trial.folder)
            elif chance.random() < 0.3:
                shutil.rmtree(trial.folder)
            failed += bool(found)
            if count % 20 == 19:
                print(f"{count + 1} tries, {failed} went wrong", flush=True)
    for (name, how, end), count in sorted(seen.items(), key=str):
        print(f"{name:12} {how:8} {end if isinstance(end, str) else f'exit code {end}'}: {count}")
    print(f"{args.tries} tries, {finished} of them run to the end after")
    for kind, (work, seconds) in sorted(slowest.items()):
        print(f"no process left after {kind}: {work:.2f} CPU s, {seconds:.2f} s by the clock at most")
    print(f"{failed} went wrong")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
