"""Architectures from Timeloop v0.4 YAML: levels, attributes, what is refused; the bundled designs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.components.estimate import estimate
from dovetail.document import parse_document
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture, Compute, Spatial, Storage
from dovetail.hardware.reader import bundled_designs, design_file, load_architecture, read_architecture
from dovetail.mapper.search import search
from dovetail.workload.shapes import CONVOLUTION, sized

REFERENCE = json.loads((Path(__file__).parent / "data/oracle_architectures.json").read_text())
SIZES = (
    "width", "datawidth", "depth", "cluster_size", "multiple_buffering", "read_bandwidth", "write_bandwidth",
)  # fmt: skip
KINDS = {"storage": Storage, "spatial": Spatial, "compute": Compute}


def read(nodes: str, head: str = "") -> Architecture:
    text = f"{head}\narchitecture:\n  version: 0.4\n  nodes:\n"
    text += "".join(f"  {line}\n" for line in nodes.strip("\n").splitlines())
    return read_architecture(parse_document(text, file="a.yaml"), "a")


DRAM = "- !Component {name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 8}}\n"
MAC = "- !Component {name: mac, class: intmac}\n"
BUFFER = "- !Component {{name: {}, class: SRAM, attributes: {{width: 64, depth: 16, datawidth: 8}}{}}}\n"


def test_elements_are_components_and_names_may_begin_with_a_digit() -> None:
    nodes = DRAM + BUFFER.format("8bit_buffer", "") + MAC
    assert read(nodes).levels == read(nodes.replace("!Component", "!Element")).levels
    assert [level.name for level in read(nodes).levels] == ["DRAM", "8bit_buffer", "mac"]
    with pytest.raises(InputError, match="'12' cannot be a name"):
        read(DRAM + BUFFER.format("'12'", "") + MAC)


@pytest.mark.parametrize(
    ("nodes", "head", "said"),
    [
        ("- !ArrayContainer {name: row, spatial: {meshX: 4}}", "", "!ArrayContainer is CiMLoop's"),
        (DRAM + MAC, "einsum: {}", "is a specification of TeAAL"),
        (DRAM + MAC, "network: {}", "describes a network"),
        (DRAM + MAC, "workload: {}", "is a specification of AccelForge"),
    ],
)
def test_other_programs_documents_are_refused_by_name(nodes: str, head: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(nodes, head)


def test_an_attribute_that_ends_in_the_name_of_another_is_its_own() -> None:
    design = read(DRAM + BUFFER.format("buffer", "").replace("width: 64", "width: 64, phy_metadata_datawidth: 8") + MAC)
    assert design.levels[1].attributes["phy_metadata_datawidth"] == 8


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("eyeriss_like", "eyeriss_like"),
        ("eyeriss_like_32nm", "eyeriss_like"),
        ("simple_weight_stationary", "simple_weight_stationary"),
        ("simple_output_stationary", "simple_output_stationary"),
        ("simba_like", "simba_like"),
    ],
)
def test_levels_are_those_that_the_reference_makes(name: str, reference: str) -> None:
    levels = load_architecture(name).levels
    assert [level.name for level in levels] == [wanted["name"] for wanted in REFERENCE[reference]]
    for level, wanted in zip(levels, REFERENCE[reference], strict=True):
        assert isinstance(level, KINDS[wanted["kind"]])
        assert (level.mesh_x, level.mesh_y, level.instances) == (
            wanted["mesh_x"],
            wanted["mesh_y"],
            wanted["instances"],
        )
        if isinstance(level, Storage):
            assert {size: getattr(level, size) for size in SIZES} == {size: wanted.get(size) for size in SIZES}
            assert level.attributes["n_banks"] == wanted["n_banks"]
        if isinstance(level, Spatial):
            assert (level.fanout_x, level.fanout_y) == (wanted["fanout_x"], wanted["fanout_y"])
        if "technology" in wanted and name != "eyeriss_like":
            assert level.attributes["technology"] == wanted["technology"]


@pytest.mark.parametrize("name", bundled_designs())
def test_every_bundled_design_loads_and_tells_its_sources(name: str) -> None:
    architecture = load_architecture(name)
    assert architecture.name == name
    assert architecture.compute.attributes["technology"]
    header = design_file(name).read_text()
    assert "ISCA 2017" in header or "JSSC" in header or "github" in header or "example_designs" in header
    assert all(line.startswith("#") for line in header[: header.index("variables:")].splitlines())


def test_published_sizes_of_our_own_designs() -> None:
    tpu = load_architecture("tpu_like")
    assert tpu.parallelism == 65536
    assert tpu.cycle_seconds == pytest.approx(1 / 700e6)
    assert tpu.level("unified_buffer").words == 24 * 2**20
    assert tpu.level("accumulators").words * 4 == 4 * 2**20
    assert tpu.level("weight_fifo").words == 4 * 65536
    eyeriss = load_architecture("eyeriss_jssc")
    assert eyeriss.parallelism == 168
    on_chip = sum(eyeriss.level(name).words * 2 for name in ("shared_glb", "weights_glb"))
    assert on_chip == 108 * 1024
    assert [eyeriss.level(f"{name}_spad").words for name in ("ifmap", "weights", "psum")] == [12, 224, 24]
    assert eyeriss.level("DRAM").shared_bandwidth == pytest.approx(1.2)


def test_attributes_flow_from_containers_to_what_follows() -> None:
    architecture = read(
        "- !Container {name: system, attributes: {technology: '65nm', size: 4, n_banks: 9}}\n"
        + DRAM
        + "- !Container {name: inner, attributes: {technology: '32nm'}}\n"
        + "- !Component {name: b, class: SRAM, attributes: {width: size * 8, depth: size ** 2, datawidth: 8}}\n"
        + MAC,
        "variables: {version: 0.4, global_cycle_seconds: 2e-9, half: size2 / 2, size2: 8}",
    )
    assert architecture.cycle_seconds == 2e-9
    assert architecture.level("DRAM").attributes["technology"] == "65nm"
    buffer = architecture.level("b")
    assert isinstance(buffer, Storage)
    assert (buffer.width, buffer.depth, buffer.block, buffer.words) == (32, 16, 4, 64)
    assert buffer.attributes["technology"] == "32nm"
    assert buffer.attributes["half"] == 4
    assert buffer.attributes["n_banks"] == 2  # the reference's defaults come before what containers hand down
    assert architecture.compute.attributes["technology"] == "32nm"


def test_fan_outs_of_containers_and_components() -> None:
    architecture = read(
        DRAM
        + "- !Container {name: PE, spatial: {meshX: 4, meshY: 2}}\n"
        + BUFFER.format("b", ", spatial: {meshX: 2}, constraints: {spatial: {factors: C=1}}")
        + "- !Container {name: lone, spatial: {meshX: 1}}\n"
        + MAC.replace("intmac", "intmac, spatial: {meshY: 3}")
    )
    assert [(level.name, level.mesh_x, level.mesh_y) for level in architecture.levels] == [
        ("DRAM", 1, 1),
        ("inter_PE_spatial", 1, 1),
        ("inter_b_spatial", 4, 2),
        ("b", 8, 2),
        ("inter_mac_spatial", 8, 2),
        ("mac", 8, 6),
    ]
    assert architecture.parallelism == 48
    assert architecture.level("inter_b_spatial").constraints.spatial.factors[0].dimension == "C"


def test_branches_are_laid_out_one_after_the_other() -> None:
    architecture = read(
        DRAM
        + "- !Hierarchical\n  nodes:\n  - !Pipelined\n    nodes:\n    "
        + BUFFER.format("a", "")
        + "  - !Parallel\n    nodes:\n    "
        + BUFFER.format("w", ", constraints: {dataspace: {keep: [Weights]}}")
        + "    "
        + BUFFER.format("i", ", constraints: {dataspace: {keep: Inputs}}")
        + "    - !Nothing {constraints: {dataspace: {keep: [Outputs]}}}\n"
        + BUFFER.format("off", ", enabled: False")
        + MAC
    )
    assert [level.name for level in architecture.levels] == ["DRAM", "a", "w", "i", "mac"]
    weights = architecture.level("w").constraints
    assert weights.keep == {"Weights"}
    assert weights.bypass == {"Inputs", "Outputs"}
    assert weights.bypass_all_but == {"Weights"}


def storage(attributes: str) -> Storage:
    buffer = read(DRAM + f"- !Component {{name: b, class: SRAM, attributes: {attributes}}}\n" + MAC).level("b")
    assert isinstance(buffer, Storage)
    return buffer


def test_sizes_under_all_their_names() -> None:
    plain = storage("{width: 64, depth: 16, datawidth: 8}")
    for other in (
        "{memory_width: 64, memory_depth: 16, word_bits: 8}",
        "{data_storage_width: 64, data_storage_depth: 16, word_width: 8}",
        "{block_size: 8, depth: 16, datawidth: 8}",
        "{width: 64, entries: 128, datawidth: 8}",
        "{width: 64, sizeKB: 0.125, datawidth: 8}",
    ):
        assert dataclasses.replace(storage(other), attributes={}) == dataclasses.replace(plain, attributes={})
    odd = storage("{width: 64, entries: 100, datawidth: 8}")
    assert (odd.words, odd.depth) == (100, 13)
    one = BUFFER.format("b", ", spatial: {meshX: 64}").replace("width: 64, depth: 16", "width: 512, depth: 1")
    shared = read(DRAM + one.replace("datawidth: 8", "datawidth: 8, cluster_size: 64") + MAC).storages[1]
    assert (shared.block, shared.words) == (1, 1)
    assert storage("{width: 8, depth: 4, datawidth: 8, multiple-buffering: 2}").multiple_buffering == 2
    halves = storage("{width: 8, depth: 4, datawidth: 8, bandwidth: 3}")
    assert (halves.read_bandwidth, halves.write_bandwidth) == (1.5, 1.5)
    assert storage("{width: 8, depth: 4, datawidth: 8, shared_bandwidth: 3}").shared_bandwidth == 3


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ("{width: 64, depth: 16}", "'datawidth' (bits of a word) is missing"),
        ("{width: 64, datawidth: 8}", "'depth' (lines) is missing"),
        ("{width: 60, depth: 16, datawidth: 8}", "holds no whole number of words"),
        ("{width: 64, depth: -1, datawidth: 8}", "must be above 0, found -1"),
        ("{width: 64, depth: -3, datawidth: 8}", "must be above 0, found -3"),
        ("{width: 64, depth: 1.5, datawidth: 8}", "must be a whole number"),
        ("{width: 64, depth: '16', datawidth: 8}", "must be a number, found '16'"),
        ("{width: 64, depth: true, datawidth: 8}", "must be a number"),
        ("{width: 64, depth: inf, datawidth: 8}", "must be above 0, found inf"),
        ("{width: 64, dpeth: 16, datawidth: 8}", "unknown attribute 'dpeth', did you mean 'depth'?"),
        ("{width: 64, depth: 16, data_width: 8}", "unknown attribute 'data_width', did you mean 'datawidth'?"),
        ("{width: 64, depth: 16, datawidth: 8, read_bandwith: 2}", "did you mean 'read_bandwidth'?"),
        ("{width: 64, depth: 16, entries: 4, datawidth: 8}", "the size is given twice"),
        ("{width: 64, depth: 16, memory_depth: 32, datawidth: 8}", "mean the same; give one"),
        ("{width: 64, depth: 16, datawidth: 8, cluster_size: 16}", "less than one word for each"),
        ("{width: 64, depth: 16, datawidth: 8, block_size: 3}", "but the width is 64"),
        ("{width: 64, depth: 16, datawidth: 8, min_utilization: 0.5}", "'min_utilization' is not supported"),
        ("{width: 64, depth: 16, datawidth: 8, allow_overbooking: true}", "'allow_overbooking' is not supported"),
        ("{width: 64, depth: 16, datawidth: 8, reduction_supported: 3}", "must be true or false, found '3'"),
        ("{width: 64, depth: 16, datawidth: 8, network_fill_latency: 3}", "not supported"),
        (
            "{width: 64, depth: 16, datawidth: 8, metadata_datawidth: 3, metadata_storage_width: 8}",
            "a line of 8 bits holds no whole number of metadata words of 3 bits",
        ),
        ("{width: 64, depth: 16, datawidth: 8, metadata_storage_depth: 1.5}", "must be a whole number"),
        ("{width: 64, depth: 16, datawidth: 8, compression_supported: 3}", "must be true or false"),
        ("{width: 64, depth: 16, datawidth: 8, tile_partition_supported: true}", "not supported"),
        ("{width: 64, depth: 16, datawidth: 8, multiple_buffering: 0.5}", "must be at least 1"),
        ("{width: 64, depth: size(), datawidth: 8}", "the call of 'size' is not allowed"),
        ("{width: 64, depth: b, b: depth, datawidth: 8}", "needs its own value: depth -> b -> depth"),
        ("{type: LPDDR4, width: 64, depth: 16, datawidth: 8}", "text must stand in quotes"),
    ],
)
def test_wrong_sizes_are_refused_where_they_stand(attributes: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        storage(attributes)
    assert said in str(caught.value)
    assert (caught.value.file, caught.value.line) == ("a.yaml", 6)
    assert (caught.value.key or "").startswith("architecture.nodes[1]")


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ("- !Componet {name: x, class: DRAM}", "the tag '!Componet' is unknown, did you mean '!Component'?"),
        ("- {name: x, class: DRAM}", "a node needs a tag"),
        ("- !Component {name: x, class: DRAM, atributes: {}}", "unknown key 'atributes', did you mean 'attributes'?"),
        ("- !Component {class: DRAM}", "the key 'name' is missing"),
        ("- !Component {name: x}", "the key 'class' is missing"),
        ("- !Component {name: x, class: alien}", "unknown class 'alien'"),
        ("- !Component {name: 'x[1..4]', class: DRAM}", "for copies use 'spatial: {meshX: N}'"),
        ("- !Container {name: x, networks: [1]}", "networks are not supported"),
        ("- !Container {name: x, spatial: {meshx: 2}}", "unknown key 'meshx', did you mean 'meshX'?"),
        ("- !Container {name: x, spatial: {meshX: 0}}", "must be at least 1, found 0"),
        ("- !Container {name: x, spatial: {meshX: 1.5}}", "must be a whole number"),
        ("- !Container {name: x, attributes: {has_power_gating: 3}}", "must be true or false, found '3'"),
        ("- !Container {name: x, constraints: {dataspace: {keeps: [Inputs]}}}", "unknown key 'keeps'"),
        ("- !Hierarchical {node: []}", "unknown key 'node', did you mean 'nodes'?"),
        ("- !Parallel {nodes: [!Container {name: x}]}", "a !Container cannot stand directly under a !Parallel"),
        (DRAM + DRAM, "a second node is named 'DRAM'"),
        (
            DRAM.replace("}}", "}, sparse_optimizations: {action_optimization: [1]}}"),
            "must be a mapping, found number 1",
        ),
        (DRAM.replace("}}", "}, constraints: {spatial: {factors: C=1}}}"), "there is no fan-out"),
        (MAC.replace("}", ", constraints: {temporal: {factors: C=1}}}"), "a compute component keeps nothing"),
        (DRAM, "the innermost level must be a compute component"),
        (MAC, "the outermost level must be a storage"),
        (DRAM + MAC + MAC.replace("mac", "mac2", 1), "only the innermost level can be a compute"),
    ],
)
def test_wrong_nodes_are_refused(nodes: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(nodes)
    assert said in str(caught.value)
    assert caught.value.file == "a.yaml"
    assert caught.value.line is not None


def test_peers_share_out_tensors() -> None:
    def peers(first: str, second: str) -> str:
        inner = "".join(
            "  " + BUFFER.format(name, f", constraints: {{dataspace: {keeps}}}")
            for name, keeps in (("a", first), ("b", second))
        )
        return DRAM + "- !Parallel\n  nodes:\n" + inner + MAC

    with pytest.raises(InputError, match="Weights is kept in two branches"):
        read(peers("{keep: [Weights]}", "{keep: [Inputs, Weights]}"))
    with pytest.raises(InputError, match="the tensors to keep must be listed"):
        read(peers("{keep: [Weights]}", "{bypass_only: [Weights]}"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("architecture: {version: 0.3, nodes: []}", "only Timeloop version 0.4 is read, found number 0.3"),
        ("architecture: {version: 0.4, subtree: []}", "has no storage component"),
        ("architectur: {nodes: []}", "unknown key 'architectur', did you mean 'architecture'?"),
        ("variables: {}", "the key 'architecture' is missing"),
        ("architecture: {nodes: []}", "the innermost level must be a compute component"),
        ("architecture: {nodes: []}\nvariables: {a: b, b: a}", "needs its own value: a -> b -> a"),
        ("architecture: {nodes: []}\nmapspace: {template: rubby}", "unknown mapspace template; known: uber"),
        ("architecture: {nodes: []}\nsparse_optimizations: {targets: [1]}", "must be a mapping, found number 1"),
        ("architecture: {nodes: []}\nconstraints: {targets: [{target: x, type: tempral}]}", "unknown type 'tempral'"),
    ],
)
def test_wrong_documents_are_refused(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_architecture(parse_document(text, file="a.yaml"), "a")
    assert said in str(caught.value)


def test_names_and_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'eyeriss_like'"):
        load_architecture("eyeriss_lik")
    with pytest.raises(InputError, match="no such file"):
        load_architecture(tmp_path / "absent.yaml")
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "arch.yaml").write_text(f"architecture:\n  nodes:\n  {DRAM}  {MAC}")
    assert load_architecture(folder / "arch.yaml").name == "mine"
    (folder / "other.yaml").write_text("architecture: {{include('arch.yaml', 'architecture')}}")
    assert load_architecture(str(folder / "other.yaml")).name == "other"


def test_component_classes_are_handed_on() -> None:
    text = "compound_components: {version: 0.4, classes: [{name: a}, [{name: b}]]}\n"
    architecture = read(DRAM + MAC, text)
    assert [node.mapping()["name"].text() for node in architecture.component_classes] == ["a", "b"]


def test_ignored_keys_are_ignored_as_the_format_says() -> None:
    architecture = read(DRAM.replace("}}", ", ignore_me: (, x_ignore: 3}}") + MAC, "my_ignored_part: {a: 1}")
    assert "x_ignore" not in architecture.level("DRAM").attributes


def test_a_network_that_no_storage_names_is_passed_over_with_a_note() -> None:
    found = read(DRAM + "- !Component {name: NoC, class: XY_NoC, attributes: {rows: 2}}\n" + MAC)
    assert found.levels == read(DRAM + MAC).levels
    assert found.notes == ("a.yaml:6: NoC is a network (XY_NoC) that no storage names: no part of the model",)
    with pytest.raises(InputError, match="network_read: no network component is named 'NoC'"):
        read(DRAM.replace("datawidth: 8", "datawidth: 8, network_read: 'NoC'") + MAC)


def test_variables_may_be_a_list_of_mappings() -> None:
    nodes = DRAM.replace("width: 64", "width: lines * 8") + MAC
    head = "variables:\n- {version: 0.4}\n- [{lines: words * 2}, {words: 4}]\n"
    assert read(nodes, head).level("DRAM").width == 64  # type: ignore[union-attr]
    with pytest.raises(InputError, match=r"a.yaml:3: variables\[1\].words: has another value already, in line 2"):
        read(nodes, "variables:\n- {words: 4}\n- {words: 5}\n")


def test_code_of_others_is_passed_over_until_a_name_needs_it() -> None:
    head = "globals: {expression_custom_functions: [x.py], accelergy_plug_ins: [y]}\nvariables: {size: f(1)}"
    with pytest.raises(InputError, match="the call of 'f' is not allowed"):
        read(DRAM + MAC, head)
    notes = read(DRAM + MAC, head.replace("f(1)", "1")).notes
    assert ["--set NAME=VALUE" in note for note in notes] == [True, False]
    assert "estimators of Accelergy are not run" in notes[1]


@pytest.mark.parametrize("size", ["depth: 0", "entries: 0"])
def test_a_storage_that_holds_nothing_lets_everything_pass(size: str) -> None:
    dummy = BUFFER.format("dummy", "").replace("depth: 16", size)
    design = read(DRAM + dummy + MAC, "variables: {technology: '45nm'}")
    level = design.level("dummy")
    assert isinstance(level, Storage)
    assert level.words == 0
    assert estimate(design)["dummy"].energy("read") == 0
    problem = sized(CONVOLUTION, "small", C=2, M=2, P=2)
    free = {name: {"read": 1.0, "write": 1.0, "update": 1.0, "compute": 1.0} for name in ("DRAM", "dummy", "mac")}
    energies = EnergyTable({name: ComponentCost({**actions, "leak": 0.0}) for name, actions in free.items()})
    found = search(problem, design, energies)
    without = search(problem, read(DRAM + MAC), energies)
    assert found.cost["dummy"].tensors == {}
    assert (found.cost.cycles, found.cost.energy_pJ) == (without.cost.cycles, without.cost.energy_pJ)


def test_what_a_container_says_of_time_and_tensors_says_nothing_as_in_the_reference():
    told = "constraints: {dataspace: {keep: [Inputs]}, temporal: {factors: [C=1]}, spatial: {factors: [C=2]}}"
    around = "- !Container {name: x, spatial: {meshX: 2}, "
    design = read(f"{DRAM}{around}{told}}}\n{MAC}")
    bare = read(f"{DRAM}{around}constraints: {{spatial: {{factors: [C=2]}}}}}}\n{MAC}")
    assert [level.constraints.spatial.factors[0].value for level in design.levels[1:2]] == [2]
    assert [level.constraints.keep for level in design.levels] == [level.constraints.keep for level in bare.levels]
    assert [note.partition(": ")[2] for note in design.notes] == [
        "x is a container, which keeps nothing and has no loops over time: only its constraints in space say something"
    ]


def test_instances_that_share_lines_make_whole_clusters():
    shared = BUFFER.format("b", ", spatial: {meshX: 6}").replace("datawidth: 8", "datawidth: 8, cluster_size: 2")
    assert read(DRAM + shared + MAC).storages[1].cluster_size == 2
    with pytest.raises(InputError, match="cluster_size: lines shared by 4 instances each, and there are 6"):
        read(DRAM + shared.replace("cluster_size: 2", "cluster_size: 4") + MAC)


GATED = """
- !Component {name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 8}}
- !Container {name: tile, spatial: {meshX: 4}, attributes: {has_power_gating: True}}
- !Component {name: shared, class: SRAM, attributes: {width: 64, depth: 4096, datawidth: 8}}
- !Container {name: PE, spatial: {meshX: 8}}
- !Component {name: local, class: SRAM, attributes: {width: 64, depth: 4096, datawidth: 8}}
- !Component {name: mac, class: intmac}
"""


def test_gates_are_those_of_the_next_level_and_hold_for_all_that_lie_inside():
    gated = {level.name: level.gated_at for level in read(GATED).levels if isinstance(level, Storage)}
    assert gated == {"DRAM": "", "shared": "", "local": "shared"}
    assert "has_power_gating" not in read(GATED).levels[2].attributes
    named = read(GATED.replace("width: 64, depth: 4096, datawidth: 8}}\n- !Component {name: mac", "width: 64, depth: "
                 "4096, datawidth: 8, power_gated_at: \"local\"}}\n- !Component {name: mac"))  # fmt: skip
    assert {level.name: level.gated_at for level in named.levels if isinstance(level, Storage)}["local"] == ""
    with pytest.raises(InputError, match="power_gated_at: no level is named 'nowhere'"):
        read(GATED.replace("depth: 4096, datawidth: 8}}\n- !Container {name: PE", "depth: 4096, datawidth: 8, "
             "power_gated_at: \"nowhere\"}}\n- !Container {name: PE"))  # fmt: skip
