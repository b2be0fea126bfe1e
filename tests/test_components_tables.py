"""Energy and area reference tables in Accelergy's form: read, refused, written, and read again."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dovetail.components.accelergy_tables import read_energy_table, require_actions, write_art, write_ert
from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.components.estimate import estimate
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture, Compute, Storage
from dovetail.hardware.reader import bundled_designs, load_architecture

ERT = """
ERT:
    version: '0.4'
    tables:
      - name: system_top_level.DRAM[1..1]
        actions:
          - {name: leak, arguments: {global_cycle_seconds: 1e-09, action_latency_cycles: 1}, energy: 0.0}
          - {name: write, arguments: {global_cycle_seconds: 1e-09}, energy: 512.0}
          - {name: read, arguments: {}, energy: 500}
          - {name: update, arguments: {}, energy: 512.0}
      - name: system_top_level.PE[1..168].buffer[1..168]
        actions:
          - {name: read, arguments: {data_delta: 0, address_delta: 1}, energy: 1.5}
          - {name: read, arguments: {data_delta: 1, address_delta: 1}, energy: 2.5}
          - {name: write, energy: 3.5}
      - name: system_top_level.mac[1..168]
        actions:
          - {name: mac_random, energy: 0.25}
          - {name: leak, energy: 0.001}
"""
ART = """
ART:
    version: 0.4
    tables:
      - {name: "system_top_level.buffer[1..168]", area: 70.5}
      - {name: "system_top_level.mac[1..168]", area: 191}
"""


def files(tmp_path, ert=ERT, art=ART):
    (tmp_path / "ert.yaml").write_text(ert)
    (tmp_path / "art.yaml").write_text(art)
    return tmp_path / "ert.yaml", tmp_path / "art.yaml"


def design(*names):
    storages = [Storage(name=name, component="SRAM", width=8, datawidth=8) for name in names]
    return Architecture("one", (*storages, Compute(name="mac", component="intmac")))


def test_components_go_by_the_last_part_of_their_names(tmp_path):
    table = read_energy_table(*files(tmp_path))
    assert list(table.components) == ["DRAM", "buffer", "mac"]
    assert table["DRAM"].energy("read") == 500
    assert table["buffer"].area_um2 == 70.5
    assert table["DRAM"].area_um2 == 0


def test_the_dearest_arguments_count_and_actions_have_synonyms(tmp_path):
    table = read_energy_table(*files(tmp_path))
    assert table["buffer"].energy("read") == 2.5
    assert table["buffer"].energy("update") == 3.5
    assert table["buffer"].energy("leak") == 0
    assert table["mac"].energy("compute") == 0.25
    require_actions(table, design("DRAM", "buffer"))


ACCESS = """
ERT:
  version: 0.3
  tables:
  - name: top.DRAM
    actions:
    - {name: fill, energy: 90}
    - {name: random_read, energy: 110}
    - {name: idle, energy: 120}
  - name: top.Hold[0..3]
    actions:
    - {name: access, arguments: null, energy: 0.5}
    - {name: idle, arguments: null, energy: 0.125}
  - name: top.mac
    actions: [{name: compute, energy: 3}, {name: mult, energy: 2}, {name: mult_random, energy: 1}]
"""


def test_the_dearest_action_serves_what_a_storage_lacks(tmp_path):
    """Timeloop, model/buffer.cpp: unmapped reads, fills and updates cost the maximum; leakage that lacks is nothing."""
    architecture = design("DRAM", "Hold")
    for table in (
        read_energy_table(files(tmp_path, ACCESS)[0], None, architecture),
        read_energy_table(files(tmp_path, ACCESS)[0]),
    ):
        require_actions(table, architecture)
        assert [table["Hold"].energy(action) for action in ("read", "write", "update", "leak")] == [0.5, 0.5, 0.5, 0]
        assert [table["DRAM"].energy(action) for action in ("read", "write", "update")] == [110, 90, 120]
        assert table["mac"].energy("compute") == 1
        assert "read" not in table["mac"].actions
        assert table["Hold"].source == "ert.yaml (access for read, write, update)"
        assert table["DRAM"].source == "ert.yaml (idle for update)"


@pytest.mark.parametrize(
    ("action", "slip"),
    [("access", False), ("idle", False), ("gated_read", False), ("gated_write", False), ("metadata_update", False),
     ("skipped_fill", False), ("transfer_random", False), ("raed", True), ("reads", True), ("randomread", True)],
)  # fmt: skip
def test_a_slip_is_no_reason_to_take_the_dearest(tmp_path, action, slip):
    ert, _ = files(tmp_path, ACCESS.replace("name: access", f"name: {action}"))
    architecture = design("DRAM", "Hold")
    table = read_energy_table(ert, None, architecture)
    if not slip:
        assert table["Hold"].energy("read") == 0.5
        return
    with pytest.raises(InputError, match=f"Hold: no energy for action 'read'.*{action}"):
        require_actions(table, architecture, ert)


def test_the_dearest_action_is_shared_in_a_cluster(tmp_path):
    """Timeloop divides it by the cluster's instances, and no action that it finds by name."""
    storage = Storage(name="Hold", component="regfile", width=32, datawidth=8, cluster_size=4)
    architecture = Architecture("one", (storage, Compute(name="mac", component="intmac")))
    cost = read_energy_table(files(tmp_path, ACCESS)[0], None, architecture)["Hold"]
    assert cost.energy("read") == 0.125
    assert cost.source.endswith("(access / cluster of 4 for read, write, update)")
    named = ACCESS.replace("access", "read")
    assert read_energy_table(files(tmp_path, named)[0], None, architecture)["Hold"].energy("read") == 0.5


def test_an_action_that_only_other_components_have_is_missing_for_compute(tmp_path):
    ert, _ = files(tmp_path, ACCESS.replace("[{name: compute", "[{name: access").replace("mult", "madd"))
    architecture = design("DRAM", "Hold")
    with pytest.raises(InputError, match=r"ert\.yaml: mac: no energy for action 'compute'"):
        require_actions(read_energy_table(ert, None, architecture), architecture, ert)


def test_version_0_2_has_components_and_actions_as_keys(tmp_path):
    text = """
ERT:
  version: 0.2
  tables:
    system.buffer:
      read: [{arguments: {data_delta: 0}, energy: 1}, {arguments: {data_delta: 1}, energy: 4}]
      write: {energy: 3}
"""
    ert, _ = files(tmp_path, text)
    assert read_energy_table(ert)["buffer"].energy("read") == 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ERT:", "ERTT:", "ert.yaml:2: the key 'ERT' is missing"),
        ("ERT:", "ART:", "the file holds areas (ART)"),
        ("ERT:", "ERT_summary:", "ERT_summary: unknown key 'tables', did you mean 'table_summary'?"),
        ("version: '0.4'", "version: '0.9'", "must be one of 0.2, 0.3, 0.4, found text '0.9'"),
        ("energy: 0.25", "energy: lots", "ert.yaml:18"),
        ("energy: 0.25", "energy: -1", "must be at least 0, found -1"),
        ("energy: 0.25", "energy: .nan", "must be a finite number"),
        ("energy: 0.25", "enrgy: 1", "unknown key 'enrgy', did you mean 'energy'?"),
        ("{name: mac_random, energy: 0.25}", "{energy: 0.25}", "the key 'name' is missing"),
        ("tables:", "table:", "unknown key 'table', did you mean 'tables'?"),
        ("system_top_level.mac[1..168]", "other.buffer", "has a second component 'buffer'"),
        (
            "      - name: system_top_level.mac[1..168]\n        actions:",
            "      - name: mac\n        action:",
            "did you mean",
        ),
        (ERT, "just text", "must be a mapping, found text 'just text'"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_in_one_message(tmp_path, old, new, message):
    text = ERT.replace(old, new)
    assert text != ERT
    with pytest.raises(InputError) as caught:
        read_energy_table(files(tmp_path, text)[0])
    assert message in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_an_action_that_a_table_misses_is_named_with_level_and_file(tmp_path):
    ert, art = files(tmp_path, ERT.replace("mac_random", "mac_gated"))
    with pytest.raises(InputError, match=r"ert\.yaml: mac: no energy for action 'compute'"):
        require_actions(read_energy_table(ert, art), design("DRAM", "buffer"), ert)
    with pytest.raises(InputError, match=r"has no component 'bufer', did you mean 'buffer'\?"):
        require_actions(read_energy_table(ert, art), design("bufer"), ert)


def test_an_absent_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_energy_table(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", bundled_designs())
def test_written_tables_read_as_what_was_written(name, tmp_path):
    architecture = load_architecture(name)
    table = estimate(architecture)
    write_ert(table, architecture, tmp_path / "ert.yaml")
    write_art(table, architecture, tmp_path / "art.yaml")
    again = read_energy_table(tmp_path / "ert.yaml", tmp_path / "art.yaml")
    require_actions(again, architecture)
    for level in architecture.levels:
        assert again[level.name].area_um2 == table[level.name].area_um2
        for action, energy in table[level.name].actions.items():
            assert again[level.name].energy(action) == energy
    assert sorted(path.name for path in tmp_path.iterdir()) == ["art.yaml", "ert.yaml"]  # nothing temporary stays


def test_written_in_accelergys_form(tmp_path):
    table = EnergyTable({"buffer": ComponentCost({"read": 1.0}, 2.0), "mac": ComponentCost({}, 3.0)})
    write_ert(table, design("buffer"), tmp_path / "ert.yaml")
    write_art(table, design("buffer"), tmp_path / "art.yaml")
    entry = {"name": "system_top_level.buffer[1..1]", "actions": [{"name": "read", "arguments": {}, "energy": 1.0}]}
    assert yaml.safe_load((tmp_path / "ert.yaml").read_text()) == {"ERT": {"version": "0.4", "tables": [entry]}}
    areas = yaml.safe_load((tmp_path / "art.yaml").read_text())["ART"]["tables"]
    assert areas == [
        {"name": "system_top_level.buffer[1..1]", "area": 2.0},
        {"name": "system_top_level.mac[1..1]", "area": 3.0},
    ]


def test_a_file_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_ert(EnergyTable({}), design("buffer"), tmp_path / "file" / "ert.yaml")


@given(st.data())
def test_any_damage_to_a_table_ends_in_one_message_or_a_table(tmp_path_factory, data):
    start = data.draw(st.integers(0, len(ERT) - 1))
    stop = data.draw(st.integers(start, min(len(ERT), start + 30)))
    text = ERT[:start] + data.draw(st.text(max_size=8)) + ERT[stop:]
    file = tmp_path_factory.mktemp("ert") / "ert.yaml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        assert read_energy_table(file).components is not None
    except InputError as error:
        assert "ert.yaml" in str(error)


def test_the_summary_beside_a_table_is_read_as_one(tmp_path):
    summary = tmp_path / "ERT_summary.yaml"
    summary.write_text(
        "ERT_summary:\n  version: '0.4'\n  table_summary:\n"
        "  - {name: 'top.buffer[1..4]', actions: [{name: read, average_energy: 1, max_energy: 2, min_energy: 0},"
        " {name: write, energy: 3}, {name: leak, energy: 0.5}], primitive_estimation(s): []}\n"
    )
    areas = tmp_path / "ART_summary.yaml"
    areas.write_text(
        "ART_summary: {version: 0.3, table_summary: [{name: top.buffer, area: 7, primitive_estimations: Cacti}]}"
    )
    cost = read_energy_table(summary, areas)["buffer"]
    assert [cost.energy(action) for action in ("read", "write", "update", "leak")] == [2, 3, 3, 0.5]
    assert cost.area_um2 == 7
    with pytest.raises(InputError, match="the file holds areas"):
        read_energy_table(areas)
