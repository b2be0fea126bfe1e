"""Attention fused: what a nest of blocks costs by hand, that no size of blocks is better, and what the command says."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.api.schema import check
from dovetail.cli.main import main
from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.components.estimate import estimate
from dovetail.document import parse_document
from dovetail.errors import DovetailError, InputError, NoMappingError
from dovetail.fused.attention import Attention, Blocks, all_blocks, attentions_of
from dovetail.fused.floors import floors_of
from dovetail.fused.nest import carried_of, least_words, site_of, ways
from dovetail.fused.search import fuse_attention
from dovetail.fused.softmax import softmax_of
from dovetail.hardware.architecture import Architecture, Compute, Constraints, LoopConstraints, Spatial, Storage
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import search
from dovetail.network.between import Between
from dovetail.network.jobs import outcome
from dovetail.tokens.resident import parse_residents
from dovetail.tokens.study import Counting, Questions, Searching, study_tokens
from dovetail.workload.language.layers import Asked, network_of, step_of
from dovetail.workload.language.reader import model_of
from dovetail.workload.network import Layer
from dovetail.workload.problem import matrix_product

TINY = {"model_type": "llama", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
TINY |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096}
MODEL = model_of(parse_document(json.dumps(TINY), file="config.json"), name="tiny")
MAMBA = {"model_type": "mamba", "vocab_size": 64, "hidden_size": 16, "state_size": 4, "num_hidden_layers": 1}
MAMBA |= {"conv_kernel": 2, "time_step_rank": 1, "intermediate_size": 32}
WHISPER = {"model_type": "whisper", "vocab_size": 64, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1}
WHISPER |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
WHISPER |= {"num_mel_bins": 8, "max_source_positions": 20, "max_target_positions": 16}
#: pJ of a read at the outermost level, a write there, a read of the buffer, a write, an update, and an operation.
DRAM_READ, DRAM_WRITE, READ, WRITE, UPDATE, COMPUTE = 200.0, 170.0, 6.0, 5.0, 4.0, 1.0


def attention(groups, queries, keys, size, value_size, runs=1):
    scores = matrix_product(C=size, M=keys, P=queries, G=groups, name="scores")
    values = matrix_product(C=keys, M=value_size, P=queries, G=groups, name="values")
    layers = (Layer(f"attention.{p.name}", p, runs, "matrix product", (), "G") for p in (scores, values))
    return Attention(*layers)


def design(words, *, fanout=0, bandwidth=None, keep=()):
    """Return a memory, perhaps with a fan-out below, and one unit or several: words are lines of their own."""
    levels = [
        Storage(name="DRAM", component="DRAM", width=16, datawidth=16, shared_bandwidth=bandwidth),
        Storage(
            name="buffer",
            component="SRAM",
            width=16,
            datawidth=16,
            entries=words,
            constraints=Constraints(keep=frozenset(keep)),
        ),
    ]
    units = max(1, fanout)
    if fanout:
        levels.append(Spatial(name="row", component="row", fanout_x=fanout, fanout_y=1))
    levels.append(Compute(name="mac", component="mac", mesh_x=units))
    energies = EnergyTable(
        {
            "DRAM": ComponentCost({"read": DRAM_READ, "write": DRAM_WRITE, "update": DRAM_WRITE, "leak": 0.0}),
            "buffer": ComponentCost({"read": READ, "write": WRITE, "update": UPDATE, "leak": 0.0}),
            "mac": ComponentCost({"compute": COMPUTE}),
        }
    )
    return Architecture("hand", tuple(levels)), energies


def by_hand(whole, blocks):
    """Return pJ of one run where a unit asks for every operand at every operation, and words at DRAM.

    Keys and values are in the buffer once a block, or every operation reads DRAM. Scores are summed where they stay;
    of a first sum nothing is read, but of outputs that earlier blocks of keys have begun.
    """
    again = blocks.keys < whole.keys
    count, rows = blocks.count(whole), blocks.groups * blocks.queries
    energy, words = 0.0, 0
    products = ((whole.size, rows * blocks.keys, False), (whole.value_size, rows * whole.value_size, again))
    for size, outputs, added in products:
        macs, streamed = rows * blocks.keys * size, blocks.groups * blocks.keys * size
        kept = streamed * (DRAM_READ + WRITE) + macs * READ
        assert kept <= macs * DRAM_READ or macs == streamed
        passed = macs * DRAM_READ
        sums = macs * (COMPUTE + READ + UPDATE) + (macs if added else macs - outputs) * READ
        energy += count * (sums + min(kept, passed))
        words += count * min(streamed, macs)
    passes = count // (whole.keys // blocks.keys)
    energy += passes * rows * (whole.size * (DRAM_READ + WRITE) + whole.value_size * (READ + DRAM_WRITE))
    return energy, words + passes * rows * (whole.size + whole.value_size)


@pytest.mark.parametrize(
    ("sizes", "room"), [((2, 4, 8, 3, 2), 80), ((1, 6, 4, 2, 5), 70), ((3, 2, 6, 2, 2), 500), ((2, 1, 12, 4, 4), 40)]
)
def test_the_best_nest_is_the_best_by_hand(sizes, room):
    whole = attention(*sizes, runs=3)
    site = site_of(*design(room), "buffer")
    found = fuse_attention(whole, site, objective=Objective.ENERGY, workers=1)
    fitting = all_blocks(whole, room - 1)  # one word of keys or values beside what stays
    costs = {blocks: by_hand(whole, blocks) for blocks in fitting}
    least = min(energy for energy, _ in costs.values())
    assert found.exact
    assert found.value == found.bound == pytest.approx(least, rel=1e-9)
    energy, words = costs[found.blocks]
    assert energy == pytest.approx(least, rel=1e-9)
    assert found.totals.energy_pJ == pytest.approx(3 * energy, rel=1e-9)
    assert found.totals.outer_words == 3 * words
    assert sum(found.words.values()) - min(found.words[name] for name in ("keys", "values")) <= room  # by turns
    macs = whole.scores.problem.macs + whole.values.problem.macs
    assert found.totals.cycles == found.totals.computes == 3 * macs


def test_scores_never_leave_and_take_room():
    whole = attention(1, 8, 8, 2, 2)
    found = fuse_attention(whole, site_of(*design(60), "buffer"), workers=1)
    reserved = sum(found.blocks.words(whole).values())
    assert found.blocks.words(whole)["scores"] == found.blocks.queries * found.blocks.keys
    for each, streamed in ((found.scores, "Weights"), (found.values, "Weights")):
        assert each.cost["buffer"].capacity_words == 60 - reserved
        asked = {name for name, tensor in each.cost["DRAM"].tensors.items() if tensor.energy_pJ}
        assert asked == {each.layer.word(streamed)}
    smallest = fuse_attention(whole, site_of(*design(7), "buffer"), workers=1)
    assert (smallest.blocks, smallest.possible, smallest.words["keys"]) == (Blocks(1, 1, 1), 1, 0)
    with pytest.raises(NoMappingError, match="buffer has 6 words, and the smallest block of it takes 7"):
        fuse_attention(whole, site_of(*design(6), "buffer"), workers=1)


@st.composite
def cases(draw):
    sizes = [draw(st.sampled_from(some)) for some in ((1, 2), (1, 2), (2, 4), (1, 2), (1, 3))]
    made = design(
        draw(st.integers(10, 40)),
        fanout=draw(st.sampled_from([0, 2])),
        bandwidth=draw(st.sampled_from([None, 0.25, 1.0])),
        keep=draw(st.sampled_from([(), ("Weights",), ("Inputs", "Outputs")])),
    )
    return attention(*sizes), made


@given(cases(), st.sampled_from(Objective))
@settings(max_examples=4, deadline=None)
def test_no_size_of_blocks_is_better_and_bounds_hold(case, objective):
    """Every size, every pair of points of both products' fronts, added up one by one."""
    whole, made = case
    site = site_of(*made, "buffer")
    sizes = all_blocks(whole, site.room)
    costs = {blocks: list(every_cost(whole, blocks, site)) for blocks in sizes}
    values = [objective.value_of(*cost) for each in costs.values() for cost in each]
    if not values:
        with pytest.raises(DovetailError):
            fuse_attention(whole, site, objective=objective, workers=1)
        return
    found = fuse_attention(whole, site, objective=objective, workers=1)
    assert found.exact
    assert found.value == pytest.approx(min(values), rel=1e-9)
    assert objective.value_of(found.totals.energy_pJ, found.totals.cycles) == pytest.approx(found.value, rel=1e-9)
    floors = floors_of(whole, site, least_words(sizes, whole), None, lambda jobs, _: [outcome(job) for job in jobs])
    for blocks, each in costs.items():
        energy, cycles = floors.of(whole, blocks, site)
        assert all(energy <= cost[0] and cycles <= cost[1] for cost in each)


def test_bounds_hold_where_a_fan_out_multicasts_nothing():
    """Found by trying random constraints: of a whole as wide as high, queries were never held as what blocks held."""
    whole = attention(1, 2, 2, 2, 1)
    made, energies = design(12, fanout=4)
    lone = replace(made.levels[2].constraints, spatial=LoopConstraints(no_reuse=frozenset({"Weights"})))
    levels = (*made.levels[:2], replace(made.levels[2], constraints=lone), *made.levels[3:])
    site = site_of(replace(made, levels=levels), energies, "buffer")
    sizes = all_blocks(whole, site.room)
    floors = floors_of(whole, site, least_words(sizes, whole), None, lambda jobs, _: [outcome(job) for job in jobs])
    for blocks in sizes:
        energy, cycles = floors.of(whole, blocks, site)
        assert all(energy <= cost[0] and cycles <= cost[1] for cost in every_cost(whole, blocks, site))


def every_cost(whole, blocks, site):
    reserved = sum(blocks.words(whole).values())
    fronts = []
    for layer, added in zip(blocks.products(whole), (False, blocks.keys < whole.keys), strict=True):
        points = []
        for reading, made in ways(layer, site, reserved, added=added):
            try:
                points += search(reading.problem, *made, front=True).front
            except NoMappingError:
                continue
        fronts.append(points)
    carried, count = carried_of(whole, blocks, site), blocks.count(whole)
    for one in fronts[0]:
        for two in fronts[1]:
            energy, cycles = one.energy_pJ + two.energy_pJ, one.cycles + two.cycles
            yield count * energy + carried.energy_pJ, count * cycles + carried.cycles


def test_time_that_is_up_leaves_a_bound():
    whole = attention(1, 12, 8, 4, 2)
    site = site_of(*design(60, bandwidth=1.0), "buffer")
    proven = fuse_attention(whole, site, workers=1)
    ended = fuse_attention(whole, site, time_limit=1e-9, workers=1)
    assert proven.exact
    assert ended.bound <= proven.value <= ended.value
    assert ended.exact or ended.gap > 0
    assert "proven best of" in proven.known


def study(*, fused="unified_buffer", rule=None, phases=("prefill",), **options):
    counting = Counting(rule, fused=fused, **options)
    made = load_architecture("tpu_like")
    questions = Questions(phases, (2,), tokens=(16,), contexts=(32,))
    return study_tokens(MODEL, made, estimate(made), questions, counting=counting, workers=1)


def test_a_step_moves_all_but_its_scores():
    """Of a step's words at the outermost level only the scores are gone, written once and read once, softmax apart."""
    fused = study(rule=Between.SERIAL).points[0]
    apart = replace(fused, cost=fused.unfused, fused=(), unfused=None)
    assert fused.exact
    scores = 3 * 2 * 4 * 16 * 16
    (pair,) = fused.fused
    assert pair.blocks == pair.attention.whole
    assert apart.cost.totals.outer_words - fused.cost.totals.outer_words == 4 * scores
    assert fused.cost.dram_bytes == apart.cost.dram_bytes - 4 * scores
    assert fused.cost.network.known_macs == apart.cost.network.known_macs
    soft, before = (
        next(each for each in point.cost.between.passes if each.name == "softmax") for point in (fused, apart)
    )
    assert (soft.level, before.level) == ("unified_buffer", "DRAM")
    assert (soft.words_read, soft.steps) == (before.words_read, before.steps) == (scores, 17 * scores)
    others = [[each for each in point.cost.between.passes if each.name != "softmax"] for point in (fused, apart)]
    assert others[0] == others[1]
    assert sum(fused.parts.values()) == pytest.approx(fused.energy_J_per_token)
    assert fused.cost.products.cycles <= fused.cost.with_between(Between.OVERLAPPED).cycles <= fused.cost.cycles


def test_a_softmax_in_blocks_keeps_its_largest_and_its_sum():
    whole = attention(2, 8, 12, 4, 5, runs=7)
    parts = {each.name: each for each in softmax_of(whole, Blocks(1, 2, 3))}
    rows = 2 * 8
    assert all(each.count == 7 for each in parts.values())
    moved = {name: (each.moved.reads, each.moved.writes, each.moved.elements) for name, each in parts.items()}
    assert moved == {
        "softmax_block": (7 * rows * 12,) * 3,
        "softmax_state": (7 * rows * 2 * 4, 7 * rows * 2 * 4, 7 * rows * 4),
        "softmax_rescale": (7 * rows * 5 * 3,) * 3,
        "softmax_share": (7 * rows * 5,) * 3,
    }
    assert [each.name for each in softmax_of(whole, whole.whole)] == ["softmax"]


def test_the_command_shows_both(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    words = ["tokens", str(tmp_path), "--on", "eyeriss_like", "--workers", "1", "--context", "8"]
    assert main([*words, "--fused-attention", "shared_glb", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert check(told, closed=True) == "tokens"
    for point in told["points"]:
        (nest,) = point["fused"]["attention"]
        assert (nest["name"], nest["exact"], nest["gap"]) == ("attention", True, 0)
        assert point["exact"]
        changed = nest["unfused_energy_J_per_token"] - nest["energy_J_per_token"]
        assert changed == pytest.approx(point["fused"]["unfused"]["energy_J_per_token"] - point["energy_J_per_token"])
        changed = nest["unfused_ms_per_step"] - nest["ms_per_step"]
        assert changed == pytest.approx(point["fused"]["unfused"]["ms_per_step"] - point["ms_per_step"])
    assert main([*words, "--fused-attention", "shared_glb", "--csv", str(tmp_path / "t.csv")]) == 0
    told = capsys.readouterr().out
    assert "\nattention fused in shared_glb: " in told
    assert "unfused_energy_pJ_per_token" in (tmp_path / "t.csv").read_text()


WRONG = {
    "DRAM": "the outermost level",
    "unified": "did you mean 'unified_buffer'?",
    "weight_fifo": "lets outputs pass by, so scores cannot stay there|lets pass by what is to stay in it",
    "weight_reg": "tpu_like has 65536 of weight_reg",
    "mac": "is no memory",
}


@pytest.mark.parametrize("level", WRONG)
def test_where_scores_cannot_stay_is_said_before_anything_is_mapped(level, monkeypatch):
    monkeypatch.setattr("dovetail.tokens.study.map_networks", lambda *_, **__: pytest.fail("mapped"))
    with pytest.raises(InputError, match=WRONG[level]):
        study(fused=level)


def test_what_is_not_counted_together_is_said():
    with pytest.raises(InputError, match="ask for either"):
        study(resident=parse_residents("weights@weight_fifo"))
    mamba = model_of(parse_document(json.dumps(MAMBA), file="config.json"), name="mamba")
    with pytest.raises(InputError, match="mamba has no attention"):
        study_tokens(
            mamba, *design(4000), Questions(("prefill",), tokens=(4,)), counting=Counting(fused="buffer"), workers=1
        )
    with pytest.raises(InputError, match="leave out --samples"):
        study_tokens(
            MODEL,
            *design(4000),
            Questions(("decode",)),
            counting=Counting(fused="buffer"),
            searching=Searching(search=search),
        )


def test_windows_and_encoders_are_pairs_of_their_own():
    whisper = model_of(parse_document(json.dumps(WHISPER), file="config.json"), name="whisper")
    step = step_of(whisper, Asked("prefill"), 1)
    names = [each.name for each in attentions_of(network_of(whisper, step))]
    assert len(names) == len(set(names)) == 3
