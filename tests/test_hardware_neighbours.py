"""Designs in the forms of ZigZag, AccelForge and SCALE-Sim: what becomes of them, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from dovetail.components.estimate import estimate
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture, Spatial, Storage
from dovetail.hardware.reader import load_architecture
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.model.evaluate import evaluate
from dovetail.workload.loading import load_layer

_PORTS = """
    ports:
      - {{name: r_port_1, type: read, bandwidth_min: {low}, bandwidth_max: {high}, allocation: ['{operand}, tl']}}
      - {{name: w_port_1, type: write, bandwidth_min: {low}, bandwidth_max: {high}, allocation: ['{operand}, fh']}}
"""


def _memory(name: str, size: int, operands: str, served: str, *, low: int = 8, high: int = 8, more: str = "") -> str:
    ports = _PORTS.format(low=low, high=high, operand=operands.split(",")[0])
    entries = f"size: {size}\n    r_cost: 2.0\n    w_cost: 3.0\n    area: 1\n    latency: 1\n    operands: [{operands}]"
    return f"  {name}:\n    {entries}\n    served_dimensions: [{served}]{ports}{more}\n"


_ARRAY = "operational_array:\n  unit_energy: 0.5\n  unit_area: 1\n  dimensions: [D1, D2]\n  sizes: [4, 3]\n"


def _zigzag(tmp_path: Path, *memories: str, array: str = _ARRAY) -> Path:
    path = tmp_path / "chip.yaml"
    path.write_text("name: chip\nmemories:\n" + "".join(memories) + array)
    return path


def _storages(design: Architecture) -> dict[str, Storage]:
    return {level.name: level for level in design.levels if isinstance(level, Storage)}


def test_memories_of_zigzag_become_levels_and_dimensions_fan_outs(tmp_path: Path) -> None:
    path = _zigzag(
        tmp_path,
        _memory("cell", 16, "I2", ""),
        _memory("column", 64, "O", "D1", low=16, high=16),
        _memory("buffer", 8000, "I1, O", "D1, D2", low=64, high=128, more="    force_double_buffering: True"),
        _memory("dram", 10**9, "I1, I2, O", "D1, D2", low=64, high=64),
    )
    design = load_architecture(path)
    assert [level.name for level in design.levels] == [
        "dram", "buffer", "inter_array_D2_spatial", "column", "inter_array_D1_spatial", "cell", "operational_unit",
    ]  # fmt: skip
    assert [level.fanout for level in design.levels if isinstance(level, Spatial)] == [3, 4]
    buffer = _storages(design)["buffer"]
    assert (buffer.words, buffer.block, buffer.multiple_buffering) == (1000, 8, 2)
    assert (buffer.read_bandwidth, buffer.write_bandwidth) == (16, 16)
    assert buffer.constraints.keep == {"Inputs", "Outputs"}
    assert _storages(design)["cell"].instances == 12
    assert any("areas" in note for note in design.notes)


def test_costs_of_zigzag_are_those_of_the_bits_that_an_access_moves(tmp_path: Path) -> None:
    path = _zigzag(tmp_path, _memory("dram", 10**9, "I1, I2, O", "D1, D2", low=32, high=128))
    table = estimate(load_architecture(path))
    assert table["dram"].actions["read"] == 2.0 * 32 / 128
    assert table["dram"].actions["write"] == table["dram"].actions["update"] == 3.0 * 32 / 128
    assert table["operational_unit"].actions["compute"] == 0.5


_COUNTED = """
  dram:
    size: 80_000
    r_bw: 64
    w_bw: 32
    r_cost: 51_200
    w_cost: 3
    r_port: 0
    w_port: 0
    rw_port: 1
    min_r_granularity: 16
    operands: [I1, I2, O]
    ports: [{fh: rw_port_1}]
    served_dimensions: [D1, D2]
"""


def test_ports_that_earlier_zigzag_counts_are_read(tmp_path: Path) -> None:
    sram = _COUNTED.replace("dram", "sram").replace("r_port: 0", "r_port: 3").replace("rw_port: 1", "rw_port: 0")
    array = _ARRAY.replace("unit_energy", "multiplier_energy").replace(
        "unit_area", "input_precision: [32, 32]\n  unit_area"
    )
    design = load_architecture(_zigzag(tmp_path, sram.replace(" w_port: 0", " w_port: 1"), _COUNTED, array=array))
    dram, buffer = _storages(design)["dram"], _storages(design)["sram"]
    assert (dram.datawidth, dram.width, dram.shared_bandwidth, dram.words) == (8, 16, 8, 10_000)
    assert (buffer.read_bandwidth, buffer.write_bandwidth) == (3 * 64 / 8, 32 / 8)
    table = estimate(design)
    assert table["sram"].actions["read"] == 51_200 * 16 / 64  # of one port's bits, however many ports there are
    with pytest.raises(InputError, match="of how many bits are the ports of 'rw_port'"):
        load_architecture(_zigzag(tmp_path, _COUNTED.replace("    r_bw: 64\n", ""), array=array))


def test_of_keys_that_zigzag_is_given_twice_the_last_stands_which_is_said(tmp_path: Path) -> None:
    path = _zigzag(tmp_path, _memory("dram", 10**9, "I1, I2, O", "D1, D2", more="    size: 8000"))
    design = load_architecture(path)
    assert _storages(design)["dram"].words == 1000
    assert any("'size' is given twice: the last one stands, as in ZigZag" in note for note in design.notes)


def test_a_core_without_a_memory_of_every_operand_gets_one_around_which_is_said(tmp_path: Path) -> None:
    design = load_architecture(_zigzag(tmp_path, _memory("weights", 8000, "I2", "D1, D2")))
    assert [level.name for level in design.levels][:2] == ["off_chip", "weights"]
    assert estimate(design)["off_chip"].actions["read"] == 0
    assert any("stands around" in note for note in design.notes)


@pytest.mark.parametrize(
    ("memories", "array", "said"),
    [
        ([("a", 64, "O", "D1"), ("b", 64, "I2", "D2")], _ARRAY, "neither stands inside the other"),
        ([("a", 64, "O", "D1, D2"), ("b", 64, "O", "D1")], _ARRAY, "a lower one serves more"),
        ([("a", 64, "O", "D7")], _ARRAY, "'D7' is none of the dimensions D1, D2"),
        ([("a", 64, "X", "D1")], _ARRAY, "'X' is none of I1, I2, O"),
        ([("a", 4, "O", "D1")], _ARRAY, "4 bits hold no word of 8 bits"),
        ([("a", 2**70, "O", "D1")], _ARRAY, "more than any memory has"),
        ([("a", 64, "O", "D1")], _ARRAY.replace("[4, 3]", "[0, 0]"), "an array without units computes nothing"),
        ([("a", 64, "O", "D1")], _ARRAY.replace("[4, 3]", "[4]"), "one size for each of the dimensions D1, D2"),
        ([("a", 64, "O", "D1")], _ARRAY + "  is_imc: True\n", "inside of the memory's cells is not modelled"),
        ([("a", 64, "O", "D1")], _ARRAY + "  colour: red\n", "unknown key 'colour'"),
    ],
)
def test_what_has_no_equal_in_zigzag_is_refused_by_name(
    tmp_path: Path, memories: list[tuple[str, int, str, str]], array: str, said: str
) -> None:
    with pytest.raises(InputError, match=said) as error:
        load_architecture(_zigzag(tmp_path, *(_memory(*one) for one in memories), array=array))
    assert error.value.line


_FORGE = """
arch:
  variables: {glb_kilobytes: 64}
  extra_attributes_for_all_component_models: {tech_node: 45e-9}
  nodes:
  - !Memory
    name: Main
    size: inf
    leak_power: 0
    area: 0
    tensors: {keep: ~Intermediates, may_keep: All}
    actions:
    - {name: read, energy: 7e-12, throughput: 8 * 38.4e9}
    - {name: write, energy: 7e-12, throughput: 8 * 38.4e9}
  - !Memory
    name: Buffer
    size: glb_kilobytes * 1024 * 8
    leak_power: 1e-3
    area: 2e-6
    total_latency: max(a.n_calls / a.throughput for a in actions)
    tensors: {keep: input | output, may_keep: ~Main}
    actions:
    - {name: read, energy: 0.25e-12, bits_per_action: 64, throughput: 4e9}
    - {name: write, energy: 0.5e-12, bits_per_action: 64, throughput: 2e9}
  - !Container
    name: Array
    spatial:
    - {name: across, fanout: 16, reuse: input, min_usage: 1}
    - {name: down, fanout: 8, may_reuse: output}
  - !Memory
    name: Register
    size: 3 * output.bits_per_value if output else 0
    bits_per_value: {output: 24}
    component_class: Dummy
    tensors: {keep: output}
  - !Compute
    name: Vector
    enabled: len(All) == 2
    actions: [{name: compute, energy: 0, throughput: 1e9}]
  - !Compute
    name: Unit
    enabled: len(All) == 3
    leak_power: 0
    area: 1e-9
    actions: [{name: compute, energy: 0.084e-12, throughput: 2e9}]
workload: {rank_sizes: {M: 4}}
"""


def _forge(tmp_path: Path, text: str = _FORGE) -> Architecture:
    path = tmp_path / "forge.yaml"
    path.write_text(text)
    return load_architecture(path)


def test_nodes_of_accelforge_become_levels(tmp_path: Path) -> None:
    design = _forge(tmp_path)
    assert [level.name for level in design.levels] == [
        "Main", "Buffer", "inter_Array_across_0_spatial", "inter_Array_down_1_spatial", "Register", "Unit",
    ]  # fmt: skip
    assert design.cycle_seconds == 0.5e-9
    main, buffer, register = _storages(design).values()
    assert main.depth is None
    assert main.shared_bandwidth == pytest.approx(38.4 / 2)
    assert (buffer.words, buffer.block) == (65536, 8)
    assert (buffer.read_bandwidth, buffer.write_bandwidth) == (16, 8)
    assert buffer.constraints.bypass == {"Weights"}
    assert (register.datawidth, register.words, register.constraints.keep) == (24, 1, {"Outputs"})
    across, down = (level.constraints.spatial for level in design.levels if isinstance(level, Spatial))
    assert (across.no_iteration_over, across.no_reuse) == ({"Inputs"}, {"Outputs", "Weights"})
    assert (down.no_iteration_over, down.no_reuse) == (frozenset(), {"Inputs", "Weights"})
    assert [word for word in ("min_usage", "workload") if any(word in note for note in design.notes)] == [
        "min_usage", "workload",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("latency", "read", "write", "together"),
    [
        ("max(read_latency, write_latency)", 16, 8, None),
        ("sum(*action2latency.values())", None, None, 8),
        ("(read_actions + write_actions) / 4 / 1e9", None, None, 16),
        ("max(read_actions / 8e9, write_actions / (2 * 1e9))", 32, 8, None),
        ("sum(a.n_calls for a in actions) / 2e9", None, None, 8),
    ],
)
def test_total_latencies_of_accelforge_say_what_goes_on_at_once(
    tmp_path: Path, latency: str, read: float | None, write: float | None, together: float | None
) -> None:
    design = _forge(tmp_path, _FORGE.replace("max(a.n_calls / a.throughput for a in actions)", latency))
    buffer = _storages(design)["Buffer"]
    assert (buffer.read_bandwidth, buffer.write_bandwidth, buffer.shared_bandwidth) == (read, write, together)


def test_paths_of_accelforge_that_compute_no_such_layer_are_passed_over_and_nested_nodes_are_listed(
    tmp_path: Path,
) -> None:
    vector = _FORGE[_FORGE.index("  - !Compute\n    name: Vector") : _FORGE.index("  - !Compute\n    name: Unit")]
    lane = "    - !Memory\n      name: Lane\n      size: 64\n      tensors: {keep: input}\n"
    fork = "  - !Fork\n    nodes:\n" + lane + "".join(f"  {line}\n" for line in vector.splitlines())
    nested = _FORGE.replace(vector, fork).replace(
        "  - !Container\n", "  - !Hierarchical\n    nodes:\n    - !Container\n", 1
    )
    nested = nested.replace("    name: Array\n    spatial:\n    -", "      name: Array\n      spatial:\n      -")
    nested = nested.replace("\n    - {name: down", "\n      - {name: down")
    design = _forge(tmp_path, nested)
    assert design.levels == _forge(tmp_path).levels
    assert any("a path without a compute unit" in note for note in design.notes)
    chosen = _FORGE.replace(vector, fork.replace("== 2", "== 3"))
    with pytest.raises(InputError, match=r"a second compute unit for the same layer: .* --set compute=NAME"):
        _forge(tmp_path, chosen)
    path = tmp_path / "forge.yaml"
    unit = load_architecture(path, data={"compute": "Unit"})
    assert [level.name for level in unit.levels] == [level.name for level in design.levels]
    assert any("the path of Vector is passed over: 'Unit' is meant" in note for note in unit.notes)
    vector = load_architecture(path, data={"compute": "Vector"})
    assert [level.name for level in vector.levels][-2:] == ["Lane", "Vector"]
    with pytest.raises(InputError, match="no compute unit is named 'MXU'; there are Vector, Unit"):
        load_architecture(path, data={"compute": "MXU"})


def test_widths_of_accelforge_may_be_multiples_of_the_workloads(tmp_path: Path) -> None:
    design = _forge(tmp_path, _FORGE.replace("bits_per_value: {output: 24}", "bits_per_value_scale: {All: 3}"))
    assert _storages(design)["Register"].datawidth == 24


def test_variables_of_accelforge_are_given_values(tmp_path: Path) -> None:
    before, path = _forge(tmp_path), tmp_path / "forge.yaml"
    design = load_architecture(path, data={"glb_kilobytes": 16})
    assert _storages(design)["Buffer"].words == _storages(before)["Buffer"].words // 4


def test_values_per_action_of_accelforge_are_bits_of_its_words(tmp_path: Path) -> None:
    wanted = _forge(tmp_path)
    values = _FORGE.replace("bits_per_action: 64", "values_per_action: {All: 8}")
    assert _forge(tmp_path, values).levels == wanted.levels
    at_memory = _FORGE.replace(", bits_per_action: 64", "").replace(
        "    tensors: {keep: input | output, may_keep: ~Main}",
        "    tensors: {keep: input | output, may_keep: ~Main}\n    values_per_action: {input: 8, output: 8}",
    )
    assert _forge(tmp_path, at_memory).levels == wanted.levels
    with pytest.raises(InputError, match="more values of one tensor than of another have no equal here"):
        _forge(tmp_path, values.replace("{All: 8}", "{input: 8, output: 4}"))


_TOLL = """  - !Toll
    name: Toll
    direction: DIRECTION
    leak_power: 0
    area: 3e-12
    tensors: {keep: input | output}
    actions: [{name: read, energy: 2e-12, bits_per_action: 4, throughput: 4e9}]
"""


def _tolled(tmp_path: Path, direction: str, before: str = "- !Container\n    name: Array") -> Architecture:
    toll = _TOLL.replace("DIRECTION", direction)
    return _forge(tmp_path, _FORGE.replace(f"  {before}", f"{toll}  {before}"))


def test_a_toll_of_accelforge_charges_what_passes_on_its_ways(tmp_path: Path) -> None:
    """Before the memory that keeps the outputs: what the toll reads and is updated with is what that gets and gives."""
    path = tmp_path / "layer.yaml"
    path.write_text("problem: {instance: {N: 1, C: 8, K: 4, P: 6, Q: 5, R: 1, S: 1}}")
    problem = load_layer(str(path))
    text = _FORGE.replace("{keep: output}", "{keep: input | output}").replace("3 * output.bits_per_value", "6 * 24")
    plain = _forge(tmp_path, text)
    toll = _TOLL.replace("DIRECTION", "{output: up, ~output: down}")
    design = _forge(tmp_path, text.replace("  - !Memory\n    name: Register", f"{toll}  - !Memory\n    name: Register"))
    down, up = (_storages(design)[f"Toll_{way}"] for way in ("down", "up"))
    assert (down.depth, down.constraints.bypass_all_but, up.constraints.bypass_all_but) == (
        None,
        {"Inputs"},
        {"Outputs"},
    )
    assert (down.read_bandwidth, up.write_bandwidth, down.shared_bandwidth) == (1.0, 1.0, None)
    table = estimate(design)
    assert [table["Toll_down"].actions[action] for action in ("read", "write", "update", "leak")] == [4, 0, 0, 0]
    assert [table["Toll_up"].actions[action] for action in ("read", "write", "update", "leak")] == [0, 0, 4, 0]
    assert (table["Toll_up"].area_um2, table["Toll_down"].area_um2) == (3, 0)
    # One of the best mappings: another one of equal cost adds outputs up on their way to the memory, after the toll.
    kept = frozenset({"Inputs", "Outputs"})
    found = Mapping(
        (
            LevelMapping("Main", temporal=(Loop("Q", 5),), keep=kept | {"Weights"}),
            LevelMapping("Buffer", temporal=(Loop("C", 2),), keep=kept),
            LevelMapping("inter_Array_across_0_spatial", spatial_x=(Loop("K", 4),)),
            LevelMapping("inter_Array_down_1_spatial", spatial_y=(Loop("P", 6),)),
            LevelMapping("Register", temporal=(Loop("C", 4),), keep=kept),
        )
    )
    passed = Mapping(tuple(level for part in found.levels for level in _with_tolls(part)))
    without, tolled = evaluate(found, problem, plain, estimate(plain)), evaluate(passed, problem, design, table)
    register = without["Register"].tensors
    assert tolled["Toll_down"].tensors["Inputs"].reads == register["Inputs"].fills
    up_and_out = tolled["Toll_up"].tensors["Outputs"]
    assert up_and_out.updates * up_and_out.instances == without["Buffer"].tensors["Outputs"].updates
    for level in ("Main", "Buffer", "Register"):
        assert tolled[level].tensors == without[level].tensors


def _with_tolls(part: LevelMapping) -> list[LevelMapping]:
    if part.level != "Register":
        return [part]
    tolls = (("Toll_up", "Outputs"), ("Toll_down", "Inputs"))
    return [*(LevelMapping(name, keep=frozenset({tensor})) for name, tensor in tolls), part]


def test_a_toll_before_the_compute_unit_keeps_nothing_and_one_whose_tensors_may_rest_is_refused(tmp_path: Path) -> None:
    last = _tolled(tmp_path, "up_and_down", "- !Compute\n    name: Unit")
    assert _storages(last)["Toll"].constraints.temporal.no_reuse == {"Inputs", "Outputs"}
    with pytest.raises(InputError, match="Register would have to keep Inputs"):
        _tolled(tmp_path, "down")
    with pytest.raises(InputError, match="must be one of down, up, up_and_down, found text 'sideways'"):
        _tolled(tmp_path, "sideways")
    with pytest.raises(InputError, match="says nothing of Outputs"):
        _tolled(tmp_path, "{input: down}")


def test_a_zigzag_memory_without_a_port_for_what_it_must_do_is_refused(tmp_path: Path) -> None:
    """ZigZag finds no port for that direction, and stops; what the outermost memory of an operand has, lies there."""

    def load(operands: str, kept: str, *others: str) -> Architecture:
        port = "\n      - {{name: {}".format("r_port" if kept == "w_port" else "w_port")
        memory = _memory("rom", 8000, operands, "D1, D2")
        at = memory.index(port)
        end = memory.find("\n", at + 1)
        return load_architecture(_zigzag(tmp_path, memory[:at] + memory[end:], *others))

    rom = load("I2", "r_port")
    assert estimate(rom)["rom"].actions == {"read": 2.0, "write": 0.0, "update": 0.0, "leak": 0.0}
    assert _storages(rom)["rom"].write_bandwidth is None
    with pytest.raises(InputError, match="no port is one of 'write' or 'read_write', and rom must write"):
        load("I1, I2, O", "r_port")
    with pytest.raises(InputError, match="and rom must write"):
        load("I2", "r_port", _memory("dram", 10**9, "I1, I2, O", "D1, D2"))
    with pytest.raises(InputError, match="and rom must read"):
        load("I2", "w_port")


def test_joules_watts_and_square_metres_of_accelforge_become_pj_per_line_and_um2(tmp_path: Path) -> None:
    table = estimate(_forge(tmp_path))
    assert table["Main"].actions["read"] == pytest.approx(7 * 8)
    assert table["Buffer"].actions == pytest.approx({"read": 0.25, "write": 0.5, "update": 0.5, "leak": 0.5})
    assert table["Buffer"].area_um2 == pytest.approx(2e6)
    assert table["Unit"].actions["compute"] == pytest.approx(0.084)
    assert table["Register"].actions["read"] == 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("- !Container", "- !Array", "!Array has no equal here"),
        ("leak_power: 1e-3", "total_leak_power: 1e-3", "'total_leak_power' has no equal here; say the 'leak_power' of"),
        ("- !Container", "- !Network", "!Network has no equal here: .*energy_per_hop"),
        (
            "size: glb_kilobytes",
            "attributes: {_size: 1}\n    size: glb_kilobytes",
            "'attributes' are of releases before",
        ),
        ("max(a.n_calls / a.throughput for a in actions)", "max_hops", "give each action a throughput"),
        ("- !Container", "- !Wall", "'!Wall' is no node of AccelForge"),
        ("keep: input | output", "keep: input + output", "'input \\+ output' is no set of tensors"),
        ("keep: input | output", "keep: kernel", "names 'kernel', which is no tensor of a layer"),
        ("may_keep: ~Main}", "no_refetch_from_above: input}", "'no_refetch_from_above' has no equal here"),
        ("may_reuse: output", "loop_bounds: [{expression: ~m, operator: ==, value: 1}]", "workload's own names"),
        ("max(a.n_calls / a.throughput for a in actions)", "max(read_latency, 3)", "give each action a throughput"),
        ("size: glb_kilobytes * 1024 * 8", "size: __import__('os')", "not allowed in an expression"),
        ("enabled: len(All) == 2", "enabled: len(All) == 3", "a second compute unit"),
        ("fanout: 16", "fanout: 0", "must be at least 1"),
        ("throughput: 2e9", "throughput: -1", "a throughput must be above 0"),
    ],
)
def test_what_has_no_equal_in_accelforge_is_refused_by_name(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in _FORGE
    with pytest.raises(InputError, match=said) as error:
        _forge(tmp_path, _FORGE.replace(old, new))
    assert error.value.line


_SYSTOLIC = """[general]
run_name = "small"
[architecture_presets]
ArrayHeight: 12
ArrayWidth:  14
IfmapSramSzkB: 108
FilterSramSzkB: 64
OfmapSramSzkB: 32
IfmapOffset: 0
Bandwidth : 10
Dataflow : ws
[sparsity]
SparsitySupport : false
"""


def _systolic(tmp_path: Path, text: str = _SYSTOLIC) -> Architecture:
    path = tmp_path / "small.cfg"
    path.write_text(text)
    return load_architecture(path)


@pytest.mark.parametrize(
    ("flow", "rests", "down", "along"),
    [
        ("ws", "Weights", "Outputs", "Inputs"),
        ("os", "Outputs", "Weights", "Inputs"),
        ("is", "Inputs", "Outputs", "Weights"),
    ],
)
def test_a_dataflow_of_scale_sim_says_what_rests_and_what_runs_through(
    tmp_path: Path, flow: str, rests: str, down: str, along: str
) -> None:
    design = _systolic(tmp_path, _SYSTOLIC.replace("Dataflow : ws", f"Dataflow : {flow}"))
    storages = _storages(design)
    assert storages["DRAM"].shared_bandwidth == 10
    assert [storages[f"{name}_SRAM"].words for name in ("Inputs", "Weights", "Outputs")] == [
        108 * 1024, 64 * 1024, 32 * 1024,
    ]  # fmt: skip
    assert storages["cell"].constraints.keep == {rests}
    row, column = (level for level in design.levels if isinstance(level, Spatial))
    assert (row.fanout, row.constraints.spatial.no_iteration_over) == (12, {down})
    assert (column.fanout, column.constraints.spatial.no_iteration_over) == (14, {along})
    assert any("45nm" in note for note in design.notes)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("Dataflow : ws", "Dataflow : rs", "'rs' is none of ws, os, is"),
        ("ArrayHeight: 12", "ArrayHeight: twelve", "must be a whole number of at least 1, found 'twelve'"),
        ("ArrayHeight: 12", "ArrayHeight: ²", "must be a whole number of at least 1"),
        ("ArrayHeight: 12", "ArrayHeight: 99999999999999999999", "must be a whole number"),
        ("ArrayWidth:  14\n", "", "found ''"),
        ("SparsitySupport : false", "SparsitySupport : true", "sparse formats have no equal here"),
        ("ArrayWidth:  14", "ArrayWidth: 14,14", "several arrays beside each other have no equal here"),
        ("[general]\n", "[general]\n[general]\n", "is no config of SCALE-Sim"),
    ],
)
def test_what_is_wrong_with_a_config_of_scale_sim_is_said(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        _systolic(tmp_path, _SYSTOLIC.replace(old, new))


def test_libconfig_is_refused_with_how_to_convert(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"libconfig form .* write its levels as a YAML list of v0.4 nodes"):
        _systolic(tmp_path, "arch : { name = 'x'; };")


def test_configs_of_scale_sims_forks(tmp_path: Path) -> None:
    """Comments behind a value; names for how the array is filled; a bandwidth that its simulator does not look at."""
    text = _SYSTOLIC.replace("Dataflow : ws", "Dataflow : os_piped_f2 ; two deep").replace(
        "Bandwidth : 10", "Bandwidth : 10,20 # words"
    )
    design = _systolic(tmp_path, text)
    assert _storages(design)["cell"].constraints.keep == {"Outputs"}
    assert _storages(design)["DRAM"].shared_bandwidth == 10
    assert any("'os_piped_f2' is read as os: piped_f2 is of how values run through" in note for note in design.notes)
    assert any("of several bandwidths the first counts, 10" in note for note in design.notes)
    free = _systolic(
        tmp_path, _SYSTOLIC.replace("Bandwidth : 10", "Bandwidth : 1.5") + "[run_presets]\nInterfaceBandwidth: calc\n"
    )
    assert _storages(free)["DRAM"].shared_bandwidth is None
    assert any("it does not count: InterfaceBandwidth is CALC" in note for note in free.notes)
