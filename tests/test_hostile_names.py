"""One hostile name through every door, and every output looked at: text, CSV, JSON, SVG, HTML."""

import csv
import html.parser
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from dovetail.cli.main import main

#: What a line of ours must never begin with: a name that holds a line break would forge one.
FORGED = "dovetail: forged"
#: Escapes, a bell, a turned direction, a formula, an element, an attribute's end, and what rich takes for markup.
_SIGNS = "\x1b[31m\x07\u202e\u200b<b onclick=x>\"'&<script>alert(1)</script>[/red][bold]"
NASTY = f"=1+a\n{FORGED}\r\t{_SIGNS}"
#: The same where a line break can't be, as in a line of a comment.
LINE = f"=1+a{_SIGNS}"

#: As a component class's name: brackets would hold an index, and what a class is must show.
_WORD = json.dumps("smartbuffer_SRAM" + NASTY.replace("[", "(").replace("]", ")"))

ARCHITECTURE = f"""
variables: {{version: 0.4, technology: "45nm", global_cycle_seconds: 1e-9}}
components:
  version: 0.4
  classes:
  - name: {_WORD}
    attributes: {{width: must_specify, depth: must_specify, datawidth: 8, technology: "45nm"}}
    subcomponents: [{{name: {_WORD}, class: SRAM, attributes: {{width: width, depth: depth, technology: technology}}}}]
    actions:
    - {{name: read, subcomponents: [{{name: {_WORD}, actions: [{{name: read}}]}}]}}
    - {{name: write, subcomponents: [{{name: {_WORD}, actions: [{{name: write}}]}}]}}
    - {{name: update, subcomponents: [{{name: {_WORD}, actions: [{{name: write}}]}}]}}
    - {{name: leak, subcomponents: [{{name: {_WORD}, actions: [{{name: leak}}]}}]}}
    - {{name: {_WORD}, subcomponents: [{{name: {_WORD}, actions: [{{name: leak}}]}}]}}
architecture:
  version: 0.4
  nodes:
  - !Component {{name: DRAM, class: DRAM, attributes: {{width: 64, datawidth: 8, note: {_WORD}}}}}
  - !Component
    name: buf
    class: {_WORD}
    attributes: {{width: 64, datawidth: 8, depth: 1000}}
  - !Component {{name: mac, class: intmac, attributes: {{datawidth: 8}}}}
"""
CONSTRAINED = ARCHITECTURE.replace(
    "depth: 1000}\n",
    f"depth: 1000}}\n    constraints: {{temporal: {{permutation: [C, {_WORD}]}}, dataspace: {{keep: [{_WORD}]}}}}\n",
)
PROBLEM = f"""
problem:
  shape:
    name: {json.dumps(NASTY)}
    dimensions: [C, M]
    data_spaces:
    - {{name: Weights, projection: [C, M]}}
    - {{name: Inputs, projection: [C]}}
    - {{name: Outputs, projection: [M], read_write: true}}
  instance: {{C: 4, M: 8, name: {json.dumps(NASTY)}}}
"""


class Elements(html.parser.HTMLParser):
    """Collects what elements and attributes a page has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "script":
            self.scripts.append(data)


@pytest.fixture
def folder(tmp_path):
    cell = '"' + LINE.replace('"', '""') + '"'
    (tmp_path / "net.csv").write_text(
        f"# network: {LINE}\n# source: {LINE}\nname,kind,modules,C,M,P,Q\n{cell},{cell},{cell},3,8,4,4\n"
        f"{cell},free,,,,,\nfft{cell[1:-1].replace(chr(34) * 2, '')},unmapped,,,,,\n"
    )
    (tmp_path / "arch.yaml").write_text(ARCHITECTURE)
    (tmp_path / "constrained.yaml").write_text(CONSTRAINED)
    (tmp_path / "p.yaml").write_text(PROBLEM)
    return tmp_path


def shown(capsys) -> str:
    captured = capsys.readouterr()
    text = captured.out + captured.err
    assert text.replace("\n", "").isprintable(), repr(text)
    assert FORGED not in {line[: len(FORGED)] for line in text.splitlines()}, text
    return text


@pytest.mark.parametrize(
    "command",
    [
        "layers net.csv", "layers net.csv --all --json", "layers p.yaml", "designs arch.yaml",
        "designs constrained.yaml", "map p.yaml --on constrained.yaml", "components --on arch.yaml",
        "components --on arch.yaml --json", "map net.csv:1 --on arch.yaml --samples 5",
        "map p.yaml --on arch.yaml --samples 5", "map p.yaml --on arch.yaml --samples 5 --json",
        "compare net.csv p.yaml --on arch.yaml --samples 5", "compare net.csv --on arch.yaml --samples 5 --json",
        "map net.csv:x --on arch.yaml", "explain net.csv:1 --on arch.yaml",
        "optimum net.csv --on arch.yaml --workers 1",
        "report net.csv --on arch.yaml --no-front --workers 1 --accuracy net=2",
    ],
)  # fmt: skip
def test_nothing_acts_on_a_terminal(command, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert main(command.split()) in (0, 2)
    assert shown(capsys)


@pytest.mark.parametrize(
    "words",
    [
        [NASTY], ["layers", NASTY], ["layers", "x", NASTY], ["map", "x", "--samples", NASTY],
        ["map", NASTY, "--on", NASTY], ["layers", "net.csv", "--rename", NASTY],
        ["report", "net.csv", "--on", "arch.yaml", "--accuracy", NASTY + "=3"],
        ["map", "net.csv:1", "--on", "eyeriss_like", "--objective", NASTY], ["verify", NASTY],
        ["components", "--on", "arch.yaml", "--estimator", NASTY], ["layers", "net.csv", "--csv", f"{NASTY}/x"],
        ["evaluate", "net.csv:1", "--on", "arch.yaml", "--mapping", NASTY], ["designs", NASTY],
        ["sweep-layer", "net.csv:1", "--on", "arch.yaml", "--dim", NASTY, "--values", NASTY],
    ],
)  # fmt: skip
def test_words_of_the_command_line_act_on_nothing(words, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    try:
        code = main(words)
    except SystemExit as end:
        code = end.code
    assert code in (0, 2)
    assert shown(capsys)


def test_pages_and_pictures_hold_no_element_that_a_name_brought(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    report = ["report", "net.csv", "p.yaml", "--on", "arch.yaml", "--time-limit", "1", "--workers", "1"]
    assert main([*report, "--html", "o.html", "--svg", "svg", "--csv", "csv"]) == 0
    assert main(["sweep-layer", "net.csv:1", "--on", "arch.yaml", "--dim", "M", "--values", "1:3", "--svg", "s.svg",
                 "--csv", "s.csv", "--workers", "1"]) == 0  # fmt: skip
    assert main(["compare", "net.csv", "--on", "arch.yaml", "--samples", "5", "--csv", "c.csv"]) == 0
    assert shown(capsys)
    page = Path("o.html").read_text()
    assert "onclick" in page
    elements = Elements(page)
    assert all(not name.startswith("on") for _, attributes in elements.tags for name in attributes)
    assert not [script for script in elements.scripts if script.startswith("alert(1)")]
    pictures = [*Path("svg").rglob("*.svg"), Path("s.svg")]
    assert len(pictures) > 1
    for picture in pictures:
        tags = {each.tag.rpartition("}")[2] for each in ElementTree.parse(picture).iter()}
        assert not tags & {"b", "script"}
        assert all(not name.startswith("on") for each in ElementTree.parse(picture).iter() for name in each.attrib)
    for table in [*Path("csv").rglob("*.csv"), Path("s.csv"), Path("c.csv")]:
        with table.open(newline="") as stream:
            cells = [cell for row in csv.reader(stream) for cell in row]
        assert not any(cell.startswith(("=", "+", "-", "@")) and not _is_number(cell) for cell in cells)
        assert all(cell.isprintable() for cell in cells)
    for file in [*Path().rglob("*.html"), *pictures]:
        assert file.read_text().replace("\n", "").replace("\t", "").isprintable()


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_energies_from_a_file_with_a_hostile_name(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert main(["components", "--on", "simple_weight_stationary", "--ert", "e.yaml"]) == 0
    name = LINE.replace("/", "") + ".yaml"
    Path("e.yaml").rename(name)
    assert main(["map", "net.csv:1", "--on", "simple_weight_stationary", "--samples", "50", "--ert", name]) == 0
    assert main(["map", "net.csv:1", "--on", "arch.yaml", "--samples", "5", "--ert", name]) == 2
    Path("net.csv").rename(LINE.replace("/", "") + ".csv")
    assert main(["layers", LINE.replace("/", "") + ".csv"]) == 0
    assert shown(capsys)


def test_progress_takes_names_for_text():
    rich = pytest.importorskip("rich.console")
    import io
    import time

    from dovetail.cli import progress

    stream = io.StringIO()
    console = rich.Console(file=stream, force_terminal=True, width=200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "PATIENCE", 0.01)
        with progress.progress(console) as report:
            time.sleep(0.1)
            report(1, 2, NASTY)
            time.sleep(0.3)
    assert "[/red]" in stream.getvalue()
    assert "\x07" not in stream.getvalue()
    assert "\u202e" not in stream.getvalue()


def test_torch_modules_folders_and_graphs_with_hostile_names(tmp_path, capsys, monkeypatch):
    torch = pytest.importorskip("torch")
    onnx = pytest.importorskip("onnx")
    from dovetail.workload.torch_trace import trace

    model = torch.nn.Sequential()
    model.add_module(NASTY.replace(".", ""), torch.nn.Linear(3, 4))
    assert f"{trace(model, (1, 3), name=NASTY)}".isprintable()
    float_kind = onnx.TensorProto.FLOAT
    weight = onnx.helper.make_tensor(NASTY + ".weight", float_kind, (3, 4), bytes(48), raw=True)
    node = onnx.helper.make_node("MatMul", ["x", weight.name], ["y"], name=f"/{NASTY}/MatMul")
    ends = [onnx.helper.make_tensor_value_info(name, float_kind, (2, size)) for name, size in (("x", 3), ("y", 4))]
    onnx.save(
        onnx.helper.make_model(onnx.helper.make_graph([node], NASTY, ends[:1], ends[1:], [weight])), tmp_path / "n.onnx"
    )
    assert main(["layers", str(tmp_path / "n.onnx")]) == 0
    assert shown(capsys)


def test_folders_and_checkpoints_with_hostile_names(tmp_path, capsys, monkeypatch):
    torch = pytest.importorskip("torch")
    image = pytest.importorskip("PIL.Image")
    monkeypatch.chdir(tmp_path)
    data = NASTY.replace("/", "")
    for number, name in enumerate((f"{data}1", f"{data}2")):
        Path(data, name).mkdir(parents=True)
        for copy in range(9):
            image.new("RGB", (8, 8), (99 * number, 7 * copy, 0)).save(Path(data, name, f"{copy}{data}.png"))
    train = ["train", "five-layer", "--width", "2", "--epochs", "1", "--workers", "1", "--device", "cpu"]
    assert main([*train, "--data", data, "--out", "o"]) == 0
    assert main([*train, "--data", data]) == 0  # into a folder of that name
    best = "o/five-layer-2-seed-0/best.pt"
    assert main(["accuracy", best, "--data", data, "--device", "cpu"]) == 0
    content = torch.load(best, weights_only=True)
    for key in ("model_name", "data"):
        torch.save({**content, key: NASTY, "model": None}, "x.pt")
        assert main(["accuracy", "x.pt", "--data", data, "--device", "cpu"]) == 2
    torch.save({**content, "weights": {NASTY: torch.zeros(1)}}, "x.pt")
    assert main(["accuracy", "x.pt", "--data", data, "--device", "cpu"]) == 2
    Path(data, f"{data}1", "0.png").write_bytes(b"no image")
    assert main([*train, "--data", data]) == 2
    assert shown(capsys)


def test_a_plug_in_with_a_hostile_name(folder, capsys, monkeypatch):
    from dovetail.cli import components
    from dovetail.components import estimator

    class Hostile:
        name, classes, accuracy, source, valid = NASTY, (NASTY, "sram"), 99.0, NASTY, NASTY

        def energy(self, query):
            return estimator.Quote(1.0, (NASTY,))

        area = energy

    known = (Hostile(), *estimator.estimators())
    for module in (estimator, components):
        monkeypatch.setattr(module, "estimators", lambda: known)
    monkeypatch.chdir(folder)
    assert main(["components", "--list"]) == 0
    assert main(["components", "--on", "arch.yaml"]) == 0
    assert NASTY[:4] in shown(capsys)
