"""Runs of the reference counted again: a published one, ones written here in its form, and what can be missing."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.api.schema import check
from dovetail.cli.main import main
from dovetail.errors import InputError
from dovetail.runs.agreement import Change, agreement
from dovetail.runs.folder import read_run
from dovetail.runs.inferred import inferred_problem
from dovetail.runs.stats import read_stats

#: A run as published in Accelergy-Project/timeloop-accelergy-exercises (MIT), exercises/timeloop,
#: 01-model-conv1d-2level, ref-output/os: the figures of its files, in the files' form.
DESIGN = """\
architecture:
  version: 0.3
  local:
  - {name: System.PE.Buffer, class: regfile, attributes: {block-size: 1, depth: 64, width: 8, word-bits: 8}}
  - {name: System.PE.MACC, class: intmac, attributes: {datawidth: 8}}
  - {name: System.MainMemory, class: SRAM, attributes: {block-size: 8, depth: 32768, width: 64, word-bits: 8}}
"""
ERT = """\
ERT:
  version: 0.3
  tables:
  - {name: System.PE.Buffer, actions: [{name: read, energy: 0.42}, {name: write, energy: 0.42}]}
  - {name: System.PE.MACC, actions: [{name: mac_random, energy: 0.561}]}
  - {name: System.MainMemory, actions: [{name: read, energy: 39.878}, {name: write, energy: 32.398}]}
"""
MAP = """\
MainMemory [ Weights:3 Inputs:18 Outputs:16 ]
---------------------------------------------
| for P in [0:16)

Buffer [ Weights:3 Inputs:3 Outputs:1 ]
---------------------------------------
|   for R in [0:3)
"""
#: Level, tensor: partition, capacity, instances, reads, updates, fills, temporal reductions, energy.
PUBLISHED = {
    ("Buffer", "Weights"): (3, 3, 1, 48, 0, 3, 0, 21.42),
    ("Buffer", "Inputs"): (18, 3, 1, 48, 0, 18, 0, 27.72),
    ("Buffer", "Outputs"): (16, 1, 1, 32, 48, 16, 32, 40.32),
    ("MainMemory", "Weights"): (3, 3, 1, 3, 0, 0, 0, 39.88),
    ("MainMemory", "Inputs"): (18, 18, 1, 18, 0, 0, 0, 119.63),
    ("MainMemory", "Outputs"): (16, 16, 1, 0, 16, 0, 0, 79.76),
}
PRINTED = (
    "Partition size",
    "Utilized capacity",
    "Utilized instances (max)",
    "Scalar reads (per-instance)",
    "Scalar updates (per-instance)",
    "Scalar fills (per-instance)",
    "Temporal reductions (per-instance)",
    "Energy (total)",
)


def stats_text(counts, cycles: int = 48) -> str:
    """Return counts in the form of a ``stats.txt``."""
    lines = ["Buffer and Arithmetic Levels", "----------------------------"]
    place = ""
    for (level, tensor), numbers in counts.items():
        if level != place:
            lines += ["Level 1", "-------", f"=== {level} ===", "", "    SPECS", "    -----", "        Size : 64", ""]
            lines += ["    STATS", "    -----", "    Cycles               : 48"]
            place = level
        lines.append(f"    {tensor}:")
        units = ["" if name != "Energy (total)" else " pJ" for name in PRINTED]
        lines += [f"        {name:41}: {n}{u}" for name, n, u in zip(PRINTED, numbers, units, strict=True)]
    return "\n".join([*lines, "", "Summary Stats", "-------------", f"Cycles: {cycles}", "MACCs = 48", ""])


def write_run(folder: Path, counts=PUBLISHED, *, ert: str = ERT, design: str = DESIGN, mapping: str = MAP) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("flattened_architecture", design), ("ERT", ert)):
        if text:
            (folder / f"timeloop-model.{name}.yaml").write_text(text)
    if mapping:
        (folder / "timeloop-model.map.txt").write_text(mapping)
    (folder / "timeloop-model.stats.txt").write_text(stats_text(counts))
    return folder / "timeloop-model.stats.txt"


def test_a_published_run_agrees_but_for_what_the_reference_counted_then(tmp_path, capsys):
    run = read_run(write_run(tmp_path))
    assert run.notes == ("no problem is given: the loops and tiles of timeloop-model.map.txt are those of R=3 P=16",)
    found = agreement(run)
    assert (found.verdict, found.differences) == ("equal but for what changed", ())
    assert found.changes == (Change.FIRST_FILLS, Change.DEAREST)
    assert (found.cost.cycles, found.compared) == (48, 2 + 6 * len(PRINTED))
    assert main(["check-run", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "the reference has changed: when this was written, a fill before the first update" in said
    assert "48 cycles there, 48 here" in said


@pytest.mark.parametrize("place", list(PUBLISHED))
@pytest.mark.parametrize("what", range(len(PRINTED)))
def test_any_number_that_is_off_is_found(tmp_path, place, what):
    off = tuple(n + (1 if at == what else 0) for at, n in enumerate(PUBLISHED[place]))
    found = agreement(read_run(write_run(tmp_path, {**PUBLISHED, place: off})))
    windows_only = place[1] == "Inputs" and PRINTED[what] not in PRINTED[:3]
    if windows_only:  # an explanation is offered, and named
        assert Change.WINDOWS in found.changes
        return
    assert found.verdict == "different"
    assert any((each.place, each.tensor) == place and each.theirs == off[what] for each in found.differences)


def test_energies_of_a_table_that_says_access_alone_are_left_out_and_named(tmp_path):
    access = ERT.replace("{name: read, energy: 0.42}, {name: write, energy: 0.42}", "{name: access, energy: 0.009}")
    found = agreement(read_run(write_run(tmp_path, ert=access)))
    assert (found.verdict, set(found.changes)) == (
        "equal but for what changed",
        {Change.FIRST_FILLS, Change.DEAREST, Change.ACCESS},
    )
    off = PUBLISHED | {("Buffer", "Weights"): (3, 3, 1, 49, 0, 3, 0, 21.42)}
    assert agreement(read_run(write_run(tmp_path, off, ert=access))).verdict == "different"


def test_accesses_that_all_cost_the_same_shared_lines(tmp_path):
    """As in public runs: 20 words in lines of 4 were five lines, not 3 + 3."""
    wide = DESIGN.replace("block-size: 1, depth: 64, width: 8", "block-size: 5, depth: 16, width: 40")
    lines = {"Weights": 11, "Inputs": 14, "Outputs": 20}  # (32 + 48 + 16) / 5, where one by one they make 21
    counts = {
        key: (*numbers[:-1], round(lines[key[1]] * 0.42, 2)) if key[0] == "Buffer" else numbers
        for key, numbers in PUBLISHED.items()
    }
    assert agreement(read_run(write_run(tmp_path, counts, design=wide))).changes == (Change.FIRST_FILLS, Change.DEAREST)
    apart = counts | {("Buffer", "Outputs"): (*PUBLISHED["Buffer", "Outputs"][:-1], round(21 * 0.42, 2))}
    assert agreement(read_run(write_run(tmp_path, apart, design=wide))).verdict == "different"


def test_energies_of_another_table_than_the_one_beside_are_left_out_and_named(tmp_path):
    """As in a public folder: its statistics print what a line cost, and the table of a later run lies beside it."""
    other = ERT.replace("{name: read, energy: 0.42}, {name: write, energy: 0.42}", "{name: read, energy: 4.25}")
    stats = write_run(tmp_path, ert=other)
    assert agreement(read_run(stats)).verdict == "different"
    printed = "        Vector read energy : 0.42 pJ\n        Vector write energy : 0.42 pJ\n        Size : 64"
    text = stats.read_text().replace("        Size : 64", printed, 1)
    stats.write_text(text)
    found = agreement(read_run(stats))
    assert found.changes == (Change.FIRST_FILLS, Change.DEAREST, Change.TABLE)
    assert "the folder is not whole: the energies that lie beside it are of another table" in Change.TABLE.said
    stats.write_text(text.replace("(per-instance)            : 48", "(per-instance)            : 49"))
    assert agreement(read_run(stats)).verdict == "different"
    write_run(tmp_path, ert=other)
    stats.write_text(text.replace("0.42 pJ", "4.25 pJ"))  # what is printed is what the table says: nothing is left out
    assert agreement(read_run(stats)).verdict == "different"


#: A run published in cxyang101/accelergy-final-project, workspace/lab4/designs/PIM_large: a crossbar that holds the
#: weights of 16 kernels from the beginning, 18 channels each; the figures of its files, in their form.
CROSSBAR = """\
architecture:
  version: 0.3
  subtree:
  - name: system
    local: [{name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 16, block-size: 4}}]
    subtree:
    - name: chip
      local: [{name: global_buffer, class: SRAM, attributes: {width: 16, depth: 1024, datawidth: 16}}]
      subtree:
      - name: PE[0..2591]
        local:
        - {name: scratchpad, class: memcell_storage, attributes: {width: 16, depth: 1, datawidth: 16, meshX: 162}}
        - {name: mac, class: memcell_compute, attributes: {datawidth: 16, meshX: 162}}
mapspace:
  targets:
  - {target: DRAM, type: bypassing, keep: [Inputs, Outputs], bypass: [Weights]}
"""
IN_CROSSBAR = """\
DRAM [ Inputs:1764 Outputs:800 ]
--------------------------------
| for Q in [0:5)

global_buffer [ Inputs:756 Outputs:160 ]
----------------------------------------
|   for P in [0:5)
|     for N in [0:2)
|       for M in [0:16) (Spatial-Y)
|         for C in [0:18) (Spatial-X)
|           for S in [0:3) (Spatial-X)
|             for R in [0:3) (Spatial-X)

scratchpad [ Weights:1 ]
------------------------
|               for Q in [0:1)
"""
PUBLISHED_CROSSBAR = {
    ("scratchpad", "Weights"): (1, 1, 2592, 50, 0, 1, 0, 0.0),
    ("global_buffer", "Inputs"): (1764, 756, 1, 8100, 0, 1764, 0, 10159.92),
    ("global_buffer", "Outputs"): (800, 160, 1, 0, 800, 800, 0, 1648.0),
    ("DRAM", "Inputs"): (1764, 1764, 1, 1764, 0, 0, 0, 225792.0),
    ("DRAM", "Outputs"): (800, 800, 1, 0, 800, 0, 0, 102400.0),
}
#: What its statistics print of a network that has a name of its own; without a header as levels have it.
NAMED_NETWORK = """\
Networks
--------
Network 0
---------
A2D_NoC

    STATS
    -----
    Outputs:
        Ingresses                               : 800
        Energy (total)                          : 1.00 pJ

"""


def test_a_published_run_whose_weights_lie_in_a_crossbar(tmp_path):
    """They pass the DRAM by; a level was filled with such a tensor once, before the reference knew better."""
    layout = {"ert": "", "design": CROSSBAR, "mapping": IN_CROSSBAR}
    stats = write_run(tmp_path, PUBLISHED_CROSSBAR, **layout)
    text = stats.read_text().replace("Cycles: 48", "Cycles: 50").replace("MACCs = 48", "MACCs = 129600")
    stats.write_text(text.replace("Summary Stats", NAMED_NETWORK + "Summary Stats"))
    assert read_stats(stats).counts["DRAM", "Outputs", "energy_pJ"] == 102400
    found = agreement(read_run(stats))
    assert (found.differences, found.changes) == ((), (Change.FIRST_FILLS, Change.ORIGIN))
    now = {**PUBLISHED_CROSSBAR, ("scratchpad", "Weights"): (1, 1, 2592, 50, 0, 0, 0, 0.0)}
    now["global_buffer", "Outputs"] = (800, 160, 1, 0, 800, 0, 0, 1648.0)
    stats = write_run(tmp_path, now, **layout)
    stats.write_text(stats.read_text().replace("Cycles: 48", "Cycles: 50").replace("MACCs = 48", "MACCs = 129600"))
    assert agreement(read_run(stats)).verdict == "equal"


FORMATS = """\
sparse_optimizations:
  targets:
  - name: MainMemory
    representation-format:
      data-spaces:
      - name: B
        rank-application-order: inner-to-outer
        ranks:
        - {format: UOP, payload-word-bits: 0}
        - {format: B}
        - {flattened_rankIDs: [[N]], format: B, metadata-word-bits: 1}
        - {format: CP, metadata-word-bits: 2}
  - name: Buffer
    representation-format:
      data-spaces: [{name: B, ranks: [{format: CP, metadata-word-bits: 2}]}]
"""


def test_words_of_formats_that_were_spelt_otherwise_were_passed_over_then(tmp_path):
    """As in public runs at a density of 1, whose metadata agree to the word once the flattening is forgotten."""
    design = DESIGN.replace("word-bits: 8}", "word-bits: 8, metadata-storage-width: 8, metadata-storage-depth: 512}")
    ert = ERT
    for read in ("39.878", "0.42"):
        metadata = "{name: metadata_read, energy: 1.5}, {name: metadata_write, energy: 1.5}, {name: read, energy: "
        ert = ert.replace(f"{{name: read, energy: {read}", f"{metadata}{read}")
    mapping = "MainMemory [ A:8 B:32 Z:16 ]\n---\n| for N in [0:4)\n|   for K in [0:4)\n\n"
    mapping += "Buffer [ A:2 B:2 Z:4 ]\n---\n|     for M in [0:2)\n|       for N in [0:2)\n"
    unflattened = FORMATS.replace("flattened_rankIDs: [[N]], ", "")
    stats = write_run(tmp_path / "then", design=design + unflattened, ert=ert, mapping=mapping)
    cost = agreement(read_run(stats)).cost
    fields = ("partition", "tile", "instances", "reads", "updates", "fills", "temporal_reductions", "energy_pJ")
    then = {
        (level, tensor): tuple(round(getattr(one, name), 2) for name in fields)
        for level in ("Buffer", "MainMemory")
        for tensor, one in cost[level].tensors.items()
    }
    now = write_run(tmp_path / "now", then, design=design + FORMATS, ert=ert, mapping=mapping)
    now.write_text(stats_text(then, cost.cycles).replace("MACCs = 48", f"MACCs = {cost.computes}"))
    assert agreement(read_run(now)).changes == (Change.FLATTENED,)


def test_what_is_counted_here_now_is_equal(tmp_path, capsys):
    cost = agreement(read_run(write_run(tmp_path))).cost
    fields = ("partition", "tile", "instances", "reads", "updates", "fills", "temporal_reductions", "energy_pJ")
    now = {
        (level, tensor): tuple(
            round(getattr(cost[level].tensors[tensor], name), 2 if name == "energy_pJ" else None) for name in fields
        )
        for level, tensor in PUBLISHED
    }
    assert agreement(read_run(write_run(tmp_path, now))).verdict == "equal"
    without = write_run(
        tmp_path / "without", PUBLISHED | {("Buffer", "Outputs"): (16, 1, 1, 32, 48, 0, 32, 1.0)}, ert=""
    )
    assert agreement(read_run(without)).verdict == "equal"  # energies are left out where there is no table
    assert main(["check-run", str(tmp_path / "without")]) == 0
    assert "no ERT lies beside it" in capsys.readouterr().out


def test_first_fills_took_of_the_bandwidth_then(tmp_path):
    slow = DESIGN.replace("depth: 64,", "depth: 64, write_bandwidth: 1.25,")
    now = agreement(read_run(write_run(tmp_path, design=slow))).cost.cycles
    stats = tmp_path / "timeloop-model.stats.txt"
    cycles = math.ceil((3 + 18 + 48 + 16) / 1.25)  # of its weights, inputs and outputs, with the 16 first fills
    assert now == math.ceil((3 + 18 + 48) / 1.25) < cycles
    stats.write_text(stats_text(PUBLISHED, cycles))
    assert agreement(read_run(stats)).changes == (Change.FIRST_FILLS, Change.DEAREST)
    stats.write_text(stats_text(PUBLISHED, cycles + 1))
    assert agreement(read_run(stats)).verdict == "different"


def test_many_runs_are_a_line_each_and_a_bad_one_does_not_hide_the_others(tmp_path, capsys):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", PUBLISHED | {("Buffer", "Weights"): (3, 3, 1, 49, 0, 3, 0, 21.42)})
    write_run(tmp_path / "c", mapping="")
    assert main(["check-run", str(tmp_path), "--json"]) == 1
    runs = json.loads(capsys.readouterr().out)
    assert check(runs, closed=True) == "run_checks"
    assert main(["check-run", str(tmp_path / "a"), "--json"]) == 0
    assert check(json.loads(capsys.readouterr().out), closed=True) == "run_check"
    assert runs["verdicts"] == {"equal but for what changed": 1, "different": 1, "not compared": 1}
    assert main(["check-run", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "first fills: the reference has changed" in said
    assert "Buffer Weights reads 49, here 48" in said
    assert "timeloop-model.map.txt is missing" in said


def test_files_given_stand_for_what_the_folder_lacks(tmp_path):
    stats = write_run(tmp_path / "run", design="", mapping=MAP.replace("P in [0:16)", "P in [0:16,16)"))
    with pytest.raises(InputError, match="no design lies beside it: give its files behind the folder"):
        read_run(stats)
    (tmp_path / "arch.yaml").write_text(DESIGN)
    with pytest.raises(InputError, match="factors that leave a remainder: give the problem's file"):
        read_run(stats, [tmp_path / "arch.yaml"])
    (tmp_path / "run/timeloop-model.map.txt").write_text(MAP)
    problem = "problem: {shape: cnn_layer, instance: {R: R_SIZE, P: 16, C: 1, K: 1, N: 1, Q: 1, S: 1}}\n"
    (tmp_path / "problem.yaml").write_text(problem.replace("R_SIZE", "3"))
    run = read_run(stats, [tmp_path / "arch.yaml", tmp_path / "problem.yaml"])
    assert (run.notes, run.problem.bound("R"), agreement(run).changes) == (
        (),
        3,
        (Change.FIRST_FILLS, Change.DEAREST),
    )


def test_what_was_put_in_may_lie_in_the_folder_above_the_outputs(tmp_path):
    stats = write_run(tmp_path / "case/outputs", design="", ert="")
    (tmp_path / "case/aggregated_input.yaml").write_text(DESIGN)
    (tmp_path / "case/ERT.yaml").write_text(ERT)
    run = read_run(stats)
    assert run.notes[0] == "the architecture is that of aggregated_input.yaml in the folder above"
    assert run.energies is not None
    assert agreement(run).changes == (Change.FIRST_FILLS, Change.DEAREST)
    (tmp_path / "case/other.yaml").write_text(DESIGN)  # which of the two is not for us to say
    with pytest.raises(InputError, match="no design lies beside it"):
        read_run(stats)


def test_the_mapping_may_be_a_yaml_file_left_or_given(tmp_path):
    stats = write_run(tmp_path / "run", mapping="")
    directives = "mapping:\n- {target: MainMemory, type: temporal, factors: [P=16, R=1]}\n"
    directives += "- {target: Buffer, type: temporal, factors: [P=1, R=3]}\n"
    problem = "problem: {shape: cnn_layer, instance: {R: 3, P: 16, C: 1, K: 1, N: 1, Q: 1, S: 1}}\n"
    (tmp_path / "problem.yaml").write_text(problem)
    (tmp_path / "own.yaml").write_text(directives)
    given = read_run(stats, [tmp_path / "own.yaml", tmp_path / "problem.yaml"])
    (tmp_path / "run/timeloop-model.map.yaml").write_text(directives)
    left = read_run(stats, [tmp_path / "problem.yaml"])
    assert given.mapping == left.mapping
    assert agreement(left).changes == (Change.FIRST_FILLS, Change.DEAREST)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: "nothing\n", "holds no statistics of a run"),
        (lambda text: text.replace("Cycles: 48", ""), "holds no statistics of a run"),
        (lambda text: text.replace("Scalar reads", "Gated scalar reads", 1), "is a sparse run"),
    ],
)
def test_what_is_no_dense_run_is_refused(tmp_path, capsys, damage, message):
    stats = write_run(tmp_path)
    stats.write_text(damage(stats.read_text()))
    assert main(["check-run", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


sizes = st.integers(1, 6)


@settings(max_examples=60)
@given(st.fixed_dictionaries(dict.fromkeys("RSPQCMN", sizes)), st.integers(1, 4), st.booleans())
def test_a_problem_follows_from_loops_and_tiles(tmp_path_factory, bounds, stride, is_older):
    rows, columns = ((bounds[p] - 1) * stride + bounds[r] for p, r in ("PR", "QS"))
    tiles = {
        "Weights": bounds["C"] * bounds["M"] * bounds["R"] * bounds["S"],
        "Inputs": bounds["N"] * bounds["C"] * rows * columns,
        "Outputs": bounds["N"] * bounds["M"] * bounds["P"] * bounds["Q"],
    }
    channels = "K" if is_older else "M"
    loops = "".join(f"| for {channels if name == 'M' else name} in [0:{size})\n" for name, size in bounds.items())
    path = tmp_path_factory.mktemp("run") / "map.txt"
    path.write_text(f"DRAM [ {' '.join(f'{name}:{words}' for name, words in tiles.items())} ]\n{loops}")
    problem = inferred_problem(path)
    found = dict(zip(problem.shape.dimensions, problem.bounds, strict=True))
    assert found == {channels if name == "M" else name: size for name, size in bounds.items()}
    words = {
        tensor.name: math.prod(
            1 + sum((found[term.dimension] - 1) * problem.coefficient(term) for term in axis)
            for axis in tensor.projection
        )
        for tensor in problem.shape.tensors
    }
    assert words == tiles


def test_a_run_that_leaves_zeros_out_is_no_dense_one(tmp_path):
    stats = write_run(tmp_path, mapping=MAP.replace("Weights:3 I", "Weights:3 (3) I"))
    assert read_run(stats).stats.cycles == 48
    write_run(tmp_path, mapping=MAP.replace("Weights:3 I", "Weights:3 (1) I"))
    with pytest.raises(InputError, match="is not compared: its tiles hold fewer words"):
        read_run(stats)


@given(st.fixed_dictionaries(dict.fromkeys("MNK", st.integers(2, 6))))
def test_a_product_of_matrices_follows_likewise(tmp_path_factory, bounds):
    tiles = {"A": bounds["M"] * bounds["K"], "B": bounds["K"] * bounds["N"], "Z": bounds["M"] * bounds["N"]}
    loops = "".join(f"| for {name} in [0:{size})\n" for name, size in bounds.items())
    path = tmp_path_factory.mktemp("run") / "map.txt"
    path.write_text(f"DRAM [ {' '.join(f'{name}:{words}' for name, words in tiles.items())} ]\n{loops}")
    problem = inferred_problem(path)
    assert dict(zip(problem.shape.dimensions, problem.bounds, strict=True)) == bounds


def test_a_tensor_that_only_levels_inside_keep_is_known_by_a_part(tmp_path):
    path = tmp_path / "map.txt"
    path.write_text("DRAM [ Inputs:18 Outputs:16 ]\n| for P in [0:16)\nspad [ Weights:1 ]\n| for R in [0:3)\n")
    assert inferred_problem(path).bound("R") == 3
    path.write_text(path.read_text().replace("Weights:1", "Weights:4"))
    with pytest.raises(InputError, match="no convolution and no product of matrices"):
        inferred_problem(path)


@given(st.text(max_size=30), st.integers(0, 3000))
def test_damaged_statistics_end_in_numbers_or_one_message(tmp_path_factory, text, at):
    path = tmp_path_factory.mktemp("run") / "stats.txt"
    whole = stats_text(PUBLISHED)
    path.write_text(whole[:at] + text + whole[at + len(text) :])
    try:
        assert read_stats(path).cycles >= 0
    except InputError as error:
        assert str(path) in str(error)


def test_a_value_for_a_name_that_no_file_has_is_refused(tmp_path, capsys):
    write_run(tmp_path)
    assert main(["check-run", str(tmp_path), "--set", "nothing=1"]) == 2
    assert "--set nothing: no file that was read has this name" in capsys.readouterr().err
