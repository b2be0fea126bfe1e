"""The entry point: commands are found, errors on purpose are one message and exit code 2, and ``dovetail cache``."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from dovetail import __version__
from dovetail.cli.main import COMMANDS, main
from dovetail.store import Store


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DOVETAIL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"dovetail {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--nonsense"],
            "dovetail: error: the following arguments are required: COMMAND (see `dovetail --help`)\n",
        ),
        (["nonsense"], "dovetail: error: argument COMMAND: "),
        (
            ["cache", "--nonsense"],
            "dovetail cache: error: unrecognized argument --nonsense (see `dovetail cache --help`)\n",
        ),
        (["cache", "burn"], "dovetail cache: error: argument action: "),
        (["map"], "dovetail map: error: the following arguments are required: LAYER (see "),
        (["map", "x", "--on", "y", "--samples", "100000001"], "dovetail map: error: argument --samples: 100000001 is "),
        (["map", "x", "--on", "y", "--save", ""], "dovetail map: error: argument --save: '' names no file (see "),
        (["map", "x", "--on", "y", "--samples", "9" * 50_000], "dovetail map: error: argument --samples: '999"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments, said, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith(said)
    assert err.count("\n") == 1
    assert len(err) < 1000


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: dovetail {command} ")


#: What the entry itself needs of the command line's modules.
LIGHT = [
    "dovetail.cli.former",
    "dovetail.cli.interruption",
    "dovetail.cli.main",
    "dovetail.cli.outputs",
    "dovetail.cli.parser",
]


def test_help_lists_every_command_without_importing_any(tmp_path):
    program = (
        "import sys\nfrom dovetail.cli.main import main\n"
        "try:\n    main(['--help'])\nfinally:\n"
        "    print(sorted(name for name in sys.modules if name.startswith('dovetail.cli.')))\n"
        "    print([name for name in ('numpy', 'numba', 'torch') if name in sys.modules])\n"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    *help_lines, commands, heavy = answer.stdout.splitlines()
    assert all(any(line.strip().startswith(name) for line in help_lines) for name in COMMANDS)
    assert (commands, heavy, answer.stderr) == (f"{LIGHT}", "[]", "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(("output", "error"), [("| true", ""), ("> /dev/full", "dovetail: error: [Errno 28]")])
def test_output_that_nobody_takes_ends_without_a_traceback(cache, output, error, unbuffered):
    command = f"{sys.executable} -m dovetail.cli.main cache {output}"
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment)
    assert answer.stdout == ""
    assert answer.stderr.startswith(error)
    assert answer.stderr.count("\n") == (1 if error else 0)


def test_cache_shows_verifies_and_clears(cache, capsys):
    with Store.open() as store:
        store.put_many({"a": 1, "b": 2})
    assert main(["cache"]) == 0
    shown = capsys.readouterr().out
    assert str(cache / "results-v2.sqlite3") in shown
    assert "results  2\n" in shown
    assert main(["cache", "--json"]) == 0
    state = json.loads(capsys.readouterr().out)
    assert (state["entries"], state["set_aside"]) == (2, [])
    assert main(["cache", "verify"]) == 0
    assert capsys.readouterr().out == "2 results checked, none damaged\n"
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out == "2 results removed\n"
    assert main(["cache", "clear", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] == 0


def test_cache_tells_of_damage(cache, capsys):
    with Store.open() as store:
        store.put("a", 1)
    (cache / "results-v2.sqlite3").write_bytes(b"rubbish" * 2000)
    assert main(["cache", "verify", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["checked"], found["removed"]) == (0, 0)
    assert ".damaged-" in found["set_aside"][0]
    assert main(["cache"]) == 0
    assert "damaged, set aside: " in capsys.readouterr().out


def test_cache_without_a_store(monkeypatch, capsys):
    monkeypatch.setenv("DOVETAIL_CACHE", "off")
    assert main(["cache"]) == 0
    assert capsys.readouterr().out == "no store: results are computed anew each time\n"
