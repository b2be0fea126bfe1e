"""What stays on chip: which words, what they cost there and save outside, and what cannot stay."""

import json
from dataclasses import replace

import pytest

from dovetail.api.schema import check
from dovetail.cli.main import main
from dovetail.components.estimate import estimate
from dovetail.document import parse_document
from dovetail.errors import InputError
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.search import search
from dovetail.network.between import Between
from dovetail.network.resident import with_resident
from dovetail.tokens.resident import parse_residents, plan_of
from dovetail.tokens.study import Counting, Questions, study_tokens
from dovetail.workload.language.layers import Asked, network_of, step_of
from dovetail.workload.language.reader import model_of
from dovetail.workload.problem import convolution

TINY = {"model_type": "llama", "vocab_size": 128, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
TINY |= {"num_attention_heads": 8, "num_key_value_heads": 2, "max_position_embeddings": 4096}
MODEL = model_of(parse_document(json.dumps(TINY), file="config.json"), name="tiny")
#: Words of its weights: q and out, k and v, gate and up, down, in two blocks; and the head.
WEIGHTS = 2 * (2 * 64 * 64 + 2 * 64 * 16 + 3 * 64 * 96) + 64 * 128
DESIGN = load_architecture("tpu_like")
ENERGIES = estimate(DESIGN)
STEP = step_of(MODEL, Asked("decode", context=32), 2)
NETWORK = network_of(MODEL, STEP)
#: Words that a decode step of two sequences moves besides its weights: the cache, and rows in and out.
CACHE = 2 * 2 * 32 * 2 * 16
ROWS = 2 * 2 * (4 * 64 + 2 * (64 + 16) + 3 * (64 + 96) + 2 * (64 + 8 * 32)) + 2 * (64 + 128)


def plan(*asked, design=DESIGN, step=STEP, network=NETWORK):
    return plan_of(MODEL, step, network, design, parse_residents(",".join(asked)))


def shrunk(name, words):
    """Return the design with a level of so many words."""
    return replace(
        DESIGN,
        levels=tuple(replace(level, entries=words) if level.name == name else level for level in DESIGN.levels),
    )


def test_weights_stay_in_the_order_they_run_as_far_as_they_fit():
    (stay,) = plan("weights@weight_fifo").stays
    assert (stay.words, stay.of) == (WEIGHTS, WEIGHTS)
    words = 2 * 2 * 64 * 64 + 2 * 2 * 64 * 16 + 2 * 96 * 64  # q and out, k and v; not gate and up, but down
    (stay,) = plan("weights@weight_fifo", design=shrunk("weight_fifo", words + 5)).stays
    assert stay.words == words
    assert set(stay.tensors) == {"attention.q", "attention.k", "attention.v", "attention.out", "mlp.down"}


def test_each_kind_has_what_the_ones_before_left():
    words = CACHE // 2 + 100
    design = shrunk("weight_fifo", words)
    cache, weights = plan("cache@weight_fifo", "weights@weight_fifo", design=design).stays
    assert (cache.words, cache.of) == (CACHE // 2, CACHE)
    assert set(cache.tensors) == {"attention.scores"}
    assert (weights.words, weights.tensors) == (0, {})


def test_activations_stay_up_to_a_size_and_beside_the_rows_that_are_added():
    made = plan("activations@unified_buffer")
    (stay,) = made.stays
    assert made.whole
    assert stay.words == 2 * (64 + 64 + 8 * 32)  # queries in, scores out
    design = shrunk("unified_buffer", 2 * (64 + 64 + 96))
    smaller = plan("activations@unified_buffer", design=design)
    assert not smaller.whole
    assert smaller.stays[0].words == 2 * (64 + 64 + 96)
    assert smaller.stays[0].tensors["attention.scores"] == {"Inputs"}
    assert smaller.stays[0].tensors["attention.values"] == {"Outputs"}
    assert plan("activations@unified_buffer", design=shrunk("unified_buffer", 100)).stays[0].words == 0


def test_what_stays_is_read_where_it_stays_and_nowhere_else():
    """A product of one row: each weight is read once, from the memory in place of the outermost level."""
    problem = convolution(C=64, M=96, P=1, Q=1)
    before = search(problem, DESIGN, ENERGIES)
    design, energies = with_resident(DESIGN, ENERGIES, "weight_fifo", operands={"Weights"}, reserved=64 * 96)
    after = search(problem, design, energies)
    assert after.certificate.exact
    assert before.cost["DRAM"].words_moved == 64 * 96 + 64 + 96
    assert after.cost["DRAM"].words_moved == 64 + 96
    part = after.cost["weight_fifo_resident"].tensors["Weights"]
    fifo = ENERGIES["weight_fifo"]
    assert part.reads == 64 * 96
    assert part.energy_pJ == pytest.approx(64 * 96 / 256 * fifo.energy("read"))
    assert after.cost["weight_fifo"].tensors == {}
    assert after.cost["weight_fifo"].capacity_words == DESIGN.level("weight_fifo").words - 64 * 96
    saved = before.cost["DRAM"].tensors["Weights"].energy_pJ + before.cost["weight_fifo"].tensors["Weights"].energy_pJ
    assert after.cost.energy_pJ <= before.cost.energy_pJ - saved + part.energy_pJ + 1e-6
    assert after.cost.cycles <= before.cost.cycles


@pytest.fixture(scope="module")
def studied():
    def study(*asked, rule=None):
        counting = Counting(rule, parse_residents(",".join(asked)) if asked else ())
        questions = Questions(("decode",), (2,), contexts=(32,))
        return study_tokens(MODEL, DESIGN, ENERGIES, questions, counting=counting, workers=1).points[0]

    return study


def test_a_step_moves_only_what_does_not_stay(studied):
    everything = studied()
    assert everything.plan is None
    assert everything.cost.totals.outer_words == WEIGHTS + CACHE + ROWS
    without_weights = studied("weights@weight_fifo")
    assert without_weights.cost.exact
    assert without_weights.cost.totals.outer_words == CACHE + ROWS
    assert without_weights.energy_J < everything.energy_J
    nothing = studied("weights@weight_fifo", "activations@unified_buffer", "cache@unified_buffer", rule=Between.SERIAL)
    assert nothing.cost.between.unit.level.name == "unified_buffer"
    # keys and values stay as the operand that the buffer holds: queries and scores are then the one that passes it by
    assert nothing.cost.totals.outer_words == 2 * 2 * (64 + 8 * 32)
    assert nothing.parts["cache"] < without_weights.parts["cache"] / 2
    assert [each["words"] for each in nothing.to_json()["resident"]] == [WEIGHTS, 768, CACHE]


def test_the_command_says_what_stays(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    words = ["tokens", str(tmp_path), "--on", "tpu_like", "--context", "32", "--workers", "1"]
    assert main([*words, "--resident", "weights@weight_fifo", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert check(told, closed=True) == "tokens"
    assert told["resident"] == [{"what": "weights", "level": "weight_fifo", "words": WEIGHTS, "of_words": WEIGHTS}]


WRONG = {
    "weights": "write what stays, and the level that it stays in",
    "weight@DRAM": "did you mean 'weights'?",
    "weights@unified_buffer": "lets weights pass by, so they cannot stay there",
    "weights@unified": "did you mean 'unified_buffer'?",
    "weights@DRAM": "the outermost level",
    "weights@weight_reg": "tpu_like has 65536 of weight_reg",
    "weights@mac": "is no memory",
    "weights@weight_fifo,weights@accumulators": "asked to stay twice",
}


@pytest.mark.parametrize("asked", WRONG)
def test_what_cannot_stay_is_said(asked):
    with pytest.raises(InputError) as error:
        plan(asked)
    assert WRONG[asked] in error.value.message
