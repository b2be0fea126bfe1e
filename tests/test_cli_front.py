"""The front door: words in any order, the nearest for a mistyped one, examples that parse, shells that complete."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from argparse import ArgumentTypeError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.cli.former import FORMER, renamed
from dovetail.cli.main import COMMANDS, main, parser_of
from dovetail.cli.numbers import positive
from dovetail.units import read_whole
from dovetail.workload.inputs import parse_input
from dovetail.workload.loading import load_network


@pytest.fixture(scope="module")
def parser():
    return parser_of(every=True)


def commands(parser):
    (sub,) = [action for action in parser._actions if hasattr(action, "choices") and action.dest == "command"]
    return sub.choices


def test_alone_it_shows_three_commands_that_parse(parser, capsys):
    assert main([]) == 0
    shown = [line.strip() for line in capsys.readouterr().out.splitlines()]
    lines = [line for line in shown if line.startswith("dovetail ")]
    assert len(lines) == 3
    for line in lines:
        parser.parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_help_ends_with_examples_that_parse(command, parser, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["help", command])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    examples = commands(parser)[command].examples
    assert examples and shown.index("examples:") > shown.index("--help")
    for line in examples:
        assert f"  dovetail {line}\n" in shown
        args = parser.parse_args(shlex.split(line.partition(">")[0]))
        assert args.command == command


@pytest.mark.parametrize("words", [["help"], ["help", "help"]])
def test_help_alone_or_on_itself_lists_commands(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 0
    assert "COMMAND" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("compre alexnet --on eyeriss_like", "'compre'; did you mean 'compare'?"),
        ("map fc --objctive energy", "--objctive; did you mean '--objective'?"),
        ("map fc --on eyeriss_like --objective enery", "no objective 'enery', did you mean 'energy'?"),
        ("hlp", "did you mean 'help'?"),
        ("train x --data digits --width 2,1e", "'1e' is no whole number above 0: write whole numbers parted"),
        ("help swep-layer", "did you mean 'sweep-layer'?"),
        ("cache shw", "did you mean 'show'?"),
        ("layers resnet18 --batch 0", "argument --batch: '0' is no whole number above 0"),
        ("map", "the following arguments are required: LAYER"),
    ],
)
def test_mistyped_words_are_answered_with_the_nearest(line, said, capsys):
    with pytest.raises(SystemExit) as caught:
        main(line.split())
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "networks", "on"),
    [
        ("a b --on x y", ["a", "b"], ["x", "y"]),
        ("--on x a b", ["a", "b"], ["x"]),
        ("--on x --on y --totals a", ["a"], ["x", "y"]),
        ("a --on x y --batch 2 b", ["a", "b"], ["x", "y"]),
        ("--on x --batch 2 a", ["a"], ["x"]),
        ("--on=x a --seed 1e3", ["a"], ["x"]),
        ("--on x --obj energy a", ["a"], ["x"]),
        ("--on x -- a --b", ["a", "--b"], ["x"]),
    ],
)
def test_the_design_does_not_swallow_what_follows(line, networks, on, parser):
    args = parser.parse_args(["compare", *line.split()])
    assert (args.networks, args.on) == (networks, on)


#: Options that take several of what they take elsewhere, the place of several files, or (`train --weights`) only files.
SEVERAL = {
    "--batch": "N,...", "--tokens": "LENGTHS", "--context": "LENGTHS", "--csv": "FOLDER", "--svg": "FOLDER",
    "--png": "FOLDER", "--samples": "N|all", "--on": "FAMILY", "--budget": "energy<=N", "--yaml": None,
    "--weights": "FILE",
}  # fmt: skip


def test_an_option_takes_the_same_in_every_command(parser):
    taken: dict[str, set[str | None]] = {}
    for command in commands(parser).values():
        for action in command._actions:
            for option in action.option_strings:
                taken.setdefault(option, set()).add(action.metavar)
    odd = {option: found - {SEVERAL.get(option)} for option, found in taken.items() if len(found) > 1}
    assert {option: found for option, found in odd.items() if len(found) > 1} == {}
    assert set(odd) <= set(SEVERAL)


@pytest.mark.parametrize(("command", "former", "now"), [(c, f, n) for c, of in FORMER.items() for f, n in of.items()])
def test_options_answer_to_their_former_names(parser, capsys, command, former, now):
    known = {option for action in commands(parser)[command]._actions for option in action.option_strings}
    assert now in known
    assert former not in known
    assert renamed(command, [command, f"{former}=2", former, "2"]) == [command, f"{now}=2", now, "2"]
    assert f"note: {former} is {now} now" in capsys.readouterr().err
    assert renamed("layers", [former]) == [former]


def test_a_layer_stands_behind_the_files_of_a_design(parser):
    args = parser.parse_args(["map", "--on", "arch.yaml", "components.yaml", "layer.yaml", "--front"])
    assert ([*args.on, *args.layer], args.front) == (["arch.yaml", "components.yaml", "layer.yaml"], True)


@given(st.integers(0, 10**12), st.integers(0, 6), st.booleans())
def test_numbers_as_people_write_them(number, zeros, grouped):
    value = number * 10**zeros
    assert read_whole(f"{number}e{zeros}") == read_whole(str(value)) == value
    assert read_whole(f"{value:,}" if grouped else f"{value:_}") == value
    assert read_whole(f"{number}.5e1") == number * 10 + 5
    assert read_whole(f"-{value}") == -value


@pytest.mark.parametrize("text", ["", "1.5", "1e-3", "e6", "nan", "inf", "1e99", "9" * 40, "0x10", "1,,0", "١"])
def test_what_is_no_whole_number(text):
    assert read_whole(text) is None
    with pytest.raises(ArgumentTypeError, match="is no whole number above 0"):
        positive(text)


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("bound net --room 11e6,1e3kB", "room", [11e6, 1e6]),
        ("optimum net --on x --budget 5", "budget", 5e6),
        ("optimum net --on x --budget energy<=5e-1mJ", "budget", 5e8),
        ("train five-layer --data digits --width 2,1e1", "width", [2, 10]),
        ("bits best.pt --on x --data digits --target energy=1e-1 --tried 8,4e0", "tried", [8, 4]),
    ],
)
def test_numbers_with_powers_in_lists_and_budgets(line, name, value, parser):
    assert getattr(parser.parse_args(line.split()), name) == value


@pytest.mark.parametrize("budget", ["area<=4mm2", "energy<=x", "energy<=5W", "-1"])
def test_a_budget_that_bounds_no_energy(budget, parser, capsys):
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["optimum", "net", "--on", "x", f"--budget={budget}"])
    assert caught.value.code == 2
    assert "energy" in capsys.readouterr().err.partition("argument --budget")[2]


def test_designs_as_json(capsys):
    assert main(["designs", "--json"]) == 0
    listed = {each["design"]: each["summary"] for each in json.loads(capsys.readouterr().out)["designs"]}
    assert "14 x 12 processing elements" in listed["eyeriss_like"]
    assert main(["designs", "eyeriss_like", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["design"], shown["macs_per_cycle"]) == ("eyeriss_like", 168)
    assert shown["levels"][0]["level"] == "DRAM"
    assert {level["words"] for level in shown["levels"] if level["level"] == "shared_glb"} == {131072}
    assert main(["designs", "eyeriss_like", "--json", "--yaml"]) == 2


def test_python_m_dovetail_is_the_command(tmp_path):
    (tmp_path / "numpy.py").write_text("raise RuntimeError('the working folder stands before everything')\n")
    answer = subprocess.run(
        [sys.executable, "-m", "dovetail", "designs"], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert "eyeriss_like" in answer.stdout


def completed(script, *words):
    program = f"{script}\nCOMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; _dovetail\n"
    program += 'printf "%s\\n" "${COMPREPLY[@]}"\n'
    return subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True).stdout.split()


def test_bash_completes(capsys):
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert completed(script, "dovetail", "sw") == ["sweep-layer"]
    assert completed(script, "dovetail", "help", "expla") == ["explain"]
    assert completed(script, "dovetail", "map", "--cert") == ["--certificate"]
    assert completed(script, "dovetail", "map", "x", "--objective", "e") == ["edp", "energy", "ed2p"]
    assert completed(script, "dovetail", "compare", "alexnet", "--on", "simba_like", "eyeriss_j") == ["eyeriss_jssc"]
    assert "resnet18" in completed(script, "dovetail", "compare", "resnet")
    assert "resnet18" in completed(script, "dovetail", "layers", "resnet")
    assert "llama3-8b" in completed(script, "dovetail", "tokens", "lla")
    assert completed(script, "dovetail", "explore", "alexnet", "--on", "eyeriss_j") == ["eyeriss_jssc"]
    assert completed(script, "dovetail", "cache", "v") == ["verify"]
    assert completed(script, "dovetail", "map", "x", "--batch", "") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_their_script(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in COMMANDS)
    assert "eyeriss_like" in script and {"zsh": "--objective", "fish": "-l objective"}[shell] in script


MODEL = """
import torch
from torch import nn

class Tall(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
    def forward(self, image):
        return self.conv(image)

class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(10, 8), nn.Linear(8, 5)
    def forward(self, input_ids, mask):
        return self.head(self.table(input_ids)) * mask[..., None]

def make():
    return Tall()
"""


@pytest.fixture
def model(tmp_path):
    pytest.importorskip("torch")
    path = tmp_path / "my net.py"
    path.write_text(MODEL)
    return path


def layers(capsys, *arguments):
    assert main(["layers", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", ["Tall", "make"])
def test_a_class_or_a_function_of_a_file(name, model, capsys):
    shown = layers(capsys, f"{model}:{name}", "--input", "image=2x3x48x320")
    assert shown["macs"] == 2 * 48 * 320 * 3 * 4 * 9
    assert layers(capsys, f"{model}:{name}", "--input-size", "8")["macs"] == 8 * 8 * 3 * 4 * 9
    assert main(["layers", f"{model}:{name}"]) == 0
    assert "input 3x224x224 as none is said" in capsys.readouterr().out
    assert layers(capsys, f"{model}:{name}", "--input", "1x3x48x320", "--batch", "3")["macs"] == 3 * 48 * 320 * 108


def test_token_inputs(model, capsys):
    given = ["--input", "input_ids=1x16:int64", "--input", "mask=1x16"]
    assert layers(capsys, f"{model}:Tokens", *given)["macs"] == 16 * 8 * 5
    assert layers(capsys, f"{model}:Tokens", "--input", "1x16:int64", "--input", "1x16")["macs"] == 16 * 8 * 5
    assert main(["layers", f"{model}:Tokens"]) == 2
    assert "say what: --input" in capsys.readouterr().err


def test_a_layer_of_a_file(model, capsys):
    on = ["--on", "eyeriss_like", "--samples", "5", "--json"]
    assert main(["map", f"{model}:Tall:conv", "--input", "1x3x6x14", *on]) == 0
    assert json.loads(capsys.readouterr().out)["layer"] == "conv"
    assert main(["map", f"{model}:Tall", "--input", "1x3x6x14", *on]) == 0
    assert main(["map", f"{model}:Small:conv", *on]) == 2
    assert "has no 'Small'" in capsys.readouterr().err


def test_the_working_folder_stays_off_the_path(model, capsys):
    before = list(sys.path)
    layers(capsys, f"{model}:make", "--input-size", "8")
    assert sys.path == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["resnet18", "--input", "1x3x"], "is no input: write [NAME=]SHAPE[:KIND]"),
        (["resnet18", "--input", "1x3:flaot32"], "no kind of element 'flaot32', did you mean 'float32'?"),
        (["resnet18", "--input", "x=1x3x8x8", "--input", "1x3"], "they stand before those with one"),
        (["resnet18", "--input", "x=1x3", "--input", "x=1x3"], "'x' is given twice"),
        (["resnet18", "--input", "1x3x8x8", "--input-size", "8"], "leave out --input-size"),
        (["t.csv", "--input", "1x3x8x8"], "--input is for models that are traced"),
        (["nowhere.py:Net"], "no such file"),
        (["my_net.py"], "write my_net.py:NAME, a class or function in it that makes one"),
    ],
)
def test_wrong_inputs(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("name,C,M\nfc,3,4\n")
    try:
        code = main(["layers", *arguments])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert said in capsys.readouterr().err


def test_a_bundled_table_serves_its_own_input_without_torch(capsys):
    assert layers(capsys, "resnet18", "--input", "1x3x32x32")["macs"] == layers(capsys, "resnet18@32")["macs"]
    assert layers(capsys, "resnet18", "--input", "4x3x224x224")["macs"] == 4 * layers(capsys, "resnet18")["macs"]


def test_a_bundled_name_at_another_input():
    pytest.importorskip("torchvision")
    conv, *_ = load_network("resnet18", inputs=[parse_input("1x3x224x448")]).layers
    assert conv.problem.bound("Q") == 2 * conv.problem.bound("P") == 224
