"""Bad input, from real files: one message that names file, line and key, exit code 2, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from dovetail.cli.main import main
from dovetail.components.accelergy_tables import write_ert
from dovetail.components.estimate import estimate
from dovetail.hardware.reader import design_file, load_architecture
from dovetail.mapping.files import write_mapping
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.workload.problem import convolution
from dovetail.workload.problem_yaml import write_problem

LAYER = convolution(C=4, M=8, P=6, Q=6, R=3, S=3, name="layer")
ALL = frozenset({"Weights", "Inputs", "Outputs"})


def mapping_of(glb: tuple[Loop, ...] = (), dram: tuple[Loop, ...] | None = None) -> Mapping:
    """Everything at DRAM, but for what the buffer is given."""
    left = dict(zip(LAYER.shape.dimensions, LAYER.bounds, strict=True))
    for loop in glb:
        left[loop.dimension] //= loop.factor
    outer = tuple(Loop(name, factor) for name, factor in left.items()) if dram is None else dram
    return Mapping(
        (
            LevelMapping("DRAM", temporal=outer, keep=ALL),
            LevelMapping("shared_glb", temporal=glb, keep=frozenset({"Inputs", "Outputs"})),
            LevelMapping("inter_PE_column_spatial"),
            LevelMapping("inter_PE_spatial"),
            LevelMapping("ifmap_spad", keep=frozenset({"Inputs"})),
            LevelMapping("weights_spad", keep=frozenset({"Weights"})),
            LevelMapping("psum_spad", keep=frozenset({"Outputs"})),
        )
    )


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A problem, an architecture, an energy table and a mapping that go together."""
    architecture = load_architecture("eyeriss_like")
    found = {name: tmp_path / f"{name}.yaml" for name in ("problem", "arch", "ert", "mapping")}
    found["problem"].write_text(write_problem(LAYER))
    found["arch"].write_text(design_file("eyeriss_like").read_text(encoding="utf-8"))
    write_ert(estimate(architecture), architecture, found["ert"])
    write_mapping(found["mapping"], mapping_of(), architecture, LAYER, "native")
    return found


def evaluate(files: dict[str, Path]) -> int:
    """Run the command on the files."""
    arguments = ["evaluate", str(files["problem"]), "--on", str(files["arch"]), "--mapping", str(files["mapping"])]
    return main([*arguments, "--ert", str(files["ert"])])


def refused(files: dict[str, Path], capsys: pytest.CaptureFixture[str], *parts: str) -> None:
    """Check that the command refuses the files with one line that holds all the parts."""
    assert evaluate(files) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("dovetail: error: ")
    assert output.err.count("\n") == 1, output.err
    for part in parts:
        assert part in output.err, output.err


def change(path: Path, old: str, new: str) -> None:
    """Replace a text that stands in a file exactly once or more; the first occurrence."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def place(path: Path, text: str) -> int:
    """Return the line in which a text stands, counted from 1."""
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line)


def test_good_files_pass(files, capsys):
    assert evaluate(files) == 0
    assert capsys.readouterr().err == ""


def test_misspelt_stride(files, capsys):
    change(files["problem"], "Hstride: 1", "HStride: 2")
    line = place(files["problem"], "HStride: 2")
    refused(files, capsys, f"problem.yaml:{line}: ", "unknown key 'HStride', did you mean 'Hstride'?")


def test_unknown_dimension_of_a_problem(files, capsys):
    change(files["problem"], "Q: 6", "Q: 6, K: 2")
    refused(files, capsys, f"problem.yaml:{place(files['problem'], 'K: 2')}: ", "unknown key 'K'")


def test_unknown_dimension_of_a_mapping(files, capsys):
    change(files["mapping"], "M=8", "K=8")
    refused(files, capsys, "mapping.yaml:2: ", "'K'", "C, M, ")


def test_unknown_dimension_of_a_constraint(files, capsys):
    change(files["arch"], "factors: [N=1, C=1, P=1, R=1, S=1]", "factors: [N=1, C is 1]")
    refused(files, capsys, "arch.yaml:", "C is 1")


def test_missing_level(files, capsys):
    change(files["mapping"], "shared_glb", "shared_gbl")
    refused(files, capsys, "mapping.yaml:3: ", "no level 'shared_gbl', did you mean 'shared_glb'?")


@pytest.mark.parametrize(
    ("bound", "said"), [("0", "0"), ("-3", "-3"), ("many", "many"), ("1.5", "1.5"), ("[6]", "list")]
)
def test_senseless_bound(files, capsys, bound, said):
    change(files["problem"], "Q: 6", f"Q: {bound}")
    refused(files, capsys, f"problem.yaml:{place(files['problem'], f'Q: {bound}')}: ", "Q", said)


def test_cyclic_include(files, capsys):
    files["problem"].write_text("{{ include_text('other.yaml') }}\n")
    files["problem"].with_name("other.yaml").write_text("{{ include_text('problem.yaml') }}\n")
    refused(files, capsys, "problem.yaml", "includes itself")


def test_yaml_bomb(files, capsys):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    files["problem"].write_text("\n".join(lines) + "\n")
    refused(files, capsys, "problem.yaml")


def test_call_in_an_expression(files, capsys):
    change(files["arch"], "depth: 16384", "depth: __import__('os').getpid()")
    refused(files, capsys, "arch.yaml:", "depth", "__import__")


def test_capacity_exceeded(files, capsys):
    glb = (Loop("P", 6), Loop("Q", 6), Loop("M", 8), Loop("R", 3), Loop("S", 3), Loop("C", 4))
    write_mapping(files["mapping"], mapping_of(glb), load_architecture("eyeriss_like"), LAYER, "native")
    change(files["arch"], "depth: 16384", "depth: 16")
    refused(files, capsys, "shared_glb: tiles need 544 words (Inputs 256 + Outputs 288) but only 128 fit")


def test_factors_that_make_up_no_bound(files, capsys):
    change(files["mapping"], "M=8", "M=4")
    refused(files, capsys, "mapping.yaml", "the factors of M make 4", "M = 8")


def test_energy_table_without_an_action(files, capsys):
    text = files["ert"].read_text()
    start = text.index("psum_spad")
    files["ert"].write_text(text[:start] + text[start:].replace("name: read", "name: raed", 1))
    refused(files, capsys, "ert.yaml:", "psum_spad", "no energy for action 'read'")


def test_energy_table_without_a_component(files, capsys):
    change(files["ert"], "psum_spad", "sum_spad")
    refused(files, capsys, "ert.yaml:", "no component 'psum_spad', did you mean 'sum_spad'?")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("problem", "problem: 3\n", "must be a mapping, found number 3"),
        ("problem", "[1, 2]\n", "must be a mapping"),
        ("arch", "architecture: {version: 0.4, nodes: yes}\n", "must be a list"),
        ("arch", "architecture: {version: 0.4, nodes: [!Component {name: DRAM}]}\n", "class"),
        ("mapping", "loop_nest: {}\n", "must be a list"),
        ("mapping", "loop_nest: [{level: DRAM, temporal: M=eight}]\n", "eight"),
        ("ert", "ERT: {version: 0.4, tables: 7}\n", "must be a list"),
        ("ert", "ERT: {version: 0.4, tables: [{name: a, actions: [{name: read, energy: lots}]}]}\n", "lots"),
        ("problem", "problem: {instance: {C: !!python/object/apply:os.getpid []}}\n", "python"),
        ("problem", "problem: {instance: [\n", "problem.yaml:"),
    ],
)
def test_wrong_types(files, capsys, name, content, said):
    files[name].write_text(content)
    refused(files, capsys, f"{name}.yaml", said)


@pytest.mark.parametrize("name", ["problem", "arch", "ert", "mapping"])
def test_missing_or_binary_file(files, capsys, name):
    files[name].unlink()
    refused(files, capsys, f"{name}.yaml")
    files[name].write_bytes(bytes(range(256)))
    refused(files, capsys, f"{name}.yaml")


def test_unknown_names(capsys):
    for arguments, said in (
        (["evaluate", "resnet18:conv9", "--on", "eyeriss_like", "--mapping", "m.yaml"], "has no layer 'conv9'"),
        (["map", "resnet81:1", "--on", "eyeriss_like"], "did you mean 'resnet18'?"),
        (["map", "resnet18", "--on", "eyeriss_like"], "write NETWORK:LAYER"),
        (["compare", "alexnet", "--on", "eyeriss"], "did you mean 'eyeriss_like'?"),
        (["compare", "alexnet", "--on", "eyeriss_like", "tpu_like", "--ert", "e.yaml"], "one design"),
        (["explain", "alexnet:1", "--on", "eyeriss_like", "--art", "a.yaml"], "--art needs --ert"),
    ):
        assert main(arguments) == 2
        output = capsys.readouterr()
        assert (output.out, output.err.count("\n")) == ("", 1), output.err
        assert said in output.err
