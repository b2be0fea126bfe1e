"""Strikes commands with signals at random moments: one line, the exit code, no process left, nothing lost.

Run it for as many tries as you like::

    python tests/signals.py --tries 200 --seed 1

Every try starts a command, sends SIGINT, SIGTERM or SIGKILL to it (SIGINT also to all of its processes, as a terminal
does) and looks at what is left. It prints each try that went wrong and a table of all, and ends with code 1 if any did.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from test_workers import children, gone

#: Exit code after each signal; a command that had ended before has 0.
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}
#: Seconds within which a process can't have begun to listen yet, and after which a signal has ended it.
DEAF, PROMPT = 0.15, 2.0

#: Commands, and about the seconds that they take. ``OUT`` is a folder of the try's own.
COMMANDS: list[tuple[str, float]] = [
    ("map resnet18:layer3.0.conv2 --on simple_weight_stationary --batch 16 --json", 8),
    ("map resnet18:layer1.0.conv1 --on eyeriss_like --front --json", 6),
    ("compare resnet18 alexnet --on eyeriss_like simple_weight_stationary --csv OUT/costs.csv", 8),
    ("report alexnet --on eyeriss_like --html OUT/page.html", 6),
    ("sweep-layer resnet18:layer1.0.conv1 --on eyeriss_like --dim M --values 8:64:8", 6),
    ("study --html OUT/study.html", 8),
]
WITH_TORCH: list[tuple[str, float]] = [
    ("train five-layer --data digits --epochs 3 --seeds 2 --processes 2 --out OUT/train", 10),
    (
        "shrink five-layer --data digits --on eyeriss_like --target energy=0.8x --train-first --epochs 1 "
        "--supernet-epochs 1 --budget 8 --finalists 1 --processes 2 --out OUT/shrink",
        20,
    ),
]


@dataclass(frozen=True)
class Ended:
    """How a try ended: exit code, what it wrote, seconds from the signal on, and processes left behind."""

    code: int
    told: str
    output: str
    seconds: float
    left: tuple[int, ...]


def struck(words: list[str], delay: float, how: signal.Signals, everyone: bool, cache: Path) -> Ended:
    """Run a command and send it a signal after a while, or to ``everyone`` of its processes."""
    command = [sys.executable, "-m", "dovetail.cli.main", *words]
    environment = {**os.environ, "DOVETAIL_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    run = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        output, told = run.communicate(timeout=delay)
        return Ended(run.returncode, told, output, 0.0, ())
    except subprocess.TimeoutExpired:
        pass
    workers = children(run.pid)
    began = time.monotonic()
    (os.killpg if everyone else os.kill)(run.pid, how)
    try:
        output, told = run.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        output, told = run.communicate()
        told += "\nhad not ended after 60 s"
    seconds = time.monotonic() - began
    deadline = time.monotonic() + PROMPT
    while (left := tuple(pid for pid in workers if not gone(pid))) and time.monotonic() < deadline:
        time.sleep(0.05)
    return Ended(run.returncode, told, output, seconds, left)


def wrong(ended: Ended, words: list[str], delay: float, how: signal.Signals) -> list[str]:
    """Say what is wrong with how a try ended."""
    found = []
    deaf = delay < DEAF and ended.code == -how
    if ended.code not in (0, CODES[how]) and not deaf:
        found.append(f"exit code {ended.code}")
    if "Traceback" in ended.told or "Error" in ended.told:
        found.append("a traceback")
    if ended.left:
        found.append(f"processes {ended.left} stayed behind")
    if ended.code == CODES[signal.SIGTERM] and ended.seconds > PROMPT:
        found.append(f"took {ended.seconds:.1f} s to end")
    lines = [line for line in ended.told.splitlines() if line.strip()]
    answered = words[0] == "map" and bool(ended.output)
    if ended.code in (130, 143) and not answered and (len(lines) != 1 or not lines[0].startswith("dovetail: ")):
        found.append(f"{len(lines)} lines where one would do")
    if answered:
        found += _wrong_answer(json.loads(ended.output), ended.code)
    return found


def _wrong_answer(answer: dict[str, object], code: int) -> list[str]:
    """Say what is wrong with what ``map`` printed."""
    certificate = answer["certificate"]
    assert isinstance(certificate, dict)
    if code == 0 and not certificate["exact"]:
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


def attempt(chance: random.Random, folder: Path, commands: list[tuple[str, float]]) -> tuple[str, str, int, list[str]]:
    """Make one try; return the command's name, the signal's, the exit code, and what went wrong."""
    text, span = chance.choice(commands)
    how = chance.choice([signal.SIGINT] * 3 + [signal.SIGTERM] * 2 + [signal.SIGKILL])
    delay = chance.random() ** 2 * span
    everyone = how == signal.SIGINT and chance.random() < 0.5
    if chance.random() < 0.5:  # otherwise it goes on from what an earlier try has left
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    words = text.replace("OUT", str(folder)).split()
    ended = struck(words, delay, how, everyone, folder / "cache")
    problems = wrong(ended, words, delay, how) + damage(folder)
    if problems:
        print(f"{text}\n  {how.name} after {delay:.2f} s{' to all' if everyone else ''}: {'; '.join(problems)}")
        print("  " + "\n  ".join(ended.told.splitlines()[-20:]), flush=True)
    return words[0], how.name, ended.code, problems


def main() -> int:
    """Make the tries."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tries", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="COMMAND", help="strike this command only")
    args = parser.parse_args()
    commands = COMMANDS + (WITH_TORCH if importlib.util.find_spec("torch") else [])
    commands = [each for each in commands if args.only in (None, each[0].split()[0])]
    seen: Counter[tuple[str, str, int]] = Counter()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="dovetail-signals-") as folder:
        chance = random.Random(args.seed)
        for _ in range(args.tries):
            name, how, code, problems = attempt(chance, Path(folder) / "try", commands)
            seen[name, how, code] += 1
            failed += bool(problems)
    for (name, how, code), count in sorted(seen.items()):
        print(f"{name:12} {how:8} exit code {code:4}: {count}")
    print(f"{args.tries} tries, {failed} went wrong")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
