"""The search itself: exact against brute force, costs against the mapper, targets as people write them."""

import copy
import itertools
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("torch_pruning")

from dovetail.accuracy.execution import Execution  # noqa: E402
from dovetail.accuracy.models import five_layer  # noqa: E402
from dovetail.components.estimate import estimate  # noqa: E402
from dovetail.errors import InputError  # noqa: E402
from dovetail.hardware.reader import load_architecture  # noqa: E402
from dovetail.network.map_network import map_network  # noqa: E402
from dovetail.shrink.discover import channel_graph  # noqa: E402
from dovetail.shrink.exact import ExactSearch, minimise  # noqa: E402
from dovetail.shrink.importance import taylor_importance  # noqa: E402
from dovetail.shrink.layers import network_shapes  # noqa: E402
from dovetail.shrink.methods import SEARCHES  # noqa: E402
from dovetail.shrink.oracle import CostOracle, PassCost  # noqa: E402
from dovetail.shrink.predict import predicted_losses  # noqa: E402
from dovetail.shrink.prune import prune  # noqa: E402
from dovetail.shrink.searches import Task, UnreachableError  # noqa: E402
from dovetail.shrink.space import LayerTable, liked, search_space, tied_groups  # noqa: E402
from dovetail.shrink.supernet import Measurement, importance_order  # noqa: E402
from dovetail.shrink.target import METRICS, Target, metric_of, parse_targets  # noqa: E402
from dovetail.workload.torch_trace import trace  # noqa: E402


@st.composite
def factor_graphs(draw):
    """A few knobs with random tables over one, two or three of them."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.RandomState(seed)
    count = draw(st.integers(1, 7))
    factors = []
    for _ in range(count):
        knobs = tuple(
            sorted(random.choice(len(sizes), size=min(len(sizes), random.randint(0, 4)), replace=False).tolist())
        )
        factors.append((knobs, random.randint(-20, 20, size=[sizes[k] for k in knobs]).astype(float)))
    return sizes, factors


def total(factors, choice):
    return sum(float(values[tuple(choice[knob] for knob in knobs)]) for knobs, values in factors)


@settings(max_examples=150, deadline=None)
@given(factor_graphs())
def test_elimination_finds_the_minimum_of_all_choices(graph):
    sizes, factors = graph
    value, choice = minimise(sizes, factors)
    assert total(factors, choice) == value
    assert value == min(total(factors, each) for each in itertools.product(*map(range, sizes)))


@pytest.fixture(scope="module")
def toy():
    torch.manual_seed(0)
    model = five_layer(3, 10, 1).eval()
    graph = channel_graph(model, (1, 1, 8, 8))
    shapes = network_shapes(model, graph, (1, 1, 8, 8), "toy")
    design = load_architecture("eyeriss_like")
    oracle = CostOracle(design, estimate(design), workers=1)
    return search_space(shapes, oracle, kept=4), oracle, shapes


def test_a_networks_cost_is_what_mapping_its_layers_gives(toy):
    space, oracle, shapes = toy
    search = ExactSearch(space, "edp")
    narrowest = tuple(size - 1 for size in search.sizes)
    for choice in [(0, 0, 0, 0), (1, 2, 0, 3), narrowest]:
        widths = space.widths(choice)
        cost = map_network(shapes.at(widths), oracle.architecture, oracle.energies, workers=1)
        figures = oracle.figures(shapes, widths)
        assert figures.cycles == cost.cycles
        assert figures.energy_pJ == pytest.approx(cost.energy_pJ, rel=1e-12)
        assert figures.macs == cost.network.macs
        assert search.cost(choice) == pytest.approx(cost.edp_J_cycle, rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(METRICS)), st.integers(0, 10**6), st.floats(0.02, 0.9))
def test_what_is_found_within_a_limit_fits_and_is_close_to_brute_force(toy, metric, seed, share):
    space, _, _ = toy
    search = ExactSearch(space, metric)
    random = np.random.RandomState(seed)
    losses = [np.sort(random.random_sample(size)) - 0.0 for size in search.sizes]
    losses = [each - each[0] for each in losses]
    choices = np.array(list(itertools.product(*map(range, search.sizes))))
    costs = search.costs(choices)
    limit = share * costs[0]
    found = search.within(losses, limit)
    lost = np.sum([each[choices[:, knob]] for knob, each in enumerate(losses)], axis=0)
    if not (costs <= limit).any():
        assert found == []
        return
    assert found
    assert all(search.cost(choice) <= limit for choice in found)
    best = lost[costs <= limit].min()
    ours = sum(each[option] for each, option in zip(losses, found[0], strict=True))
    assert best - 1e-9 <= ours <= best + 0.25 * max(each[-1] for each in losses)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(METRICS)), st.integers(0, 10**6), st.floats(-4, 4))
def test_a_choice_at_a_price_is_the_best_of_all_at_that_price(toy, metric, seed, price):
    space, _, _ = toy
    search = ExactSearch(space, metric)
    random = np.random.RandomState(seed)
    losses = [random.random_sample(size) for size in search.sizes]
    choices = np.array(list(itertools.product(*map(range, search.sizes))))
    lost = np.sum([each[choices[:, knob]] for knob, each in enumerate(losses)], axis=0)
    found = search.priced(losses, math.exp(price))[-1]
    value = math.log(search.cost(found)) + math.exp(price) * sum(
        each[option] for each, option in zip(losses, found, strict=True)
    )
    least = (np.log(search.costs(choices)) + math.exp(price) * lost).min()
    # a tangent lies above the logarithm: for sums the first answer need not be the best, but it is never far
    assert least - 1e-9 <= value <= least + 0.7


def test_a_limit_on_edp_that_all_tangents_pass_by_is_met():
    """Energy and cycles of the second option lie above the line through the others': no price of either finds it."""
    own = (np.array([11.0, 10.0, 4.0]), np.array([21.0, 11.0, 14.0]), np.ones(3))
    rest = (np.array(26.0), np.array(2.0), np.array(1.0))
    space = SimpleNamespace(
        knobs=[SimpleNamespace(options=range(3))], tables=[LayerTable((0,), *own), LayerTable((), *rest)]
    )
    search = ExactSearch(space, "edp")
    limit = search.cost((1,))
    assert [cost > limit for cost in search.costs(np.array([[0], [2]]))] == [True, True]
    losses = [np.zeros(3)]
    assert search.within(losses, limit) == []
    assert search.best_within(losses, limit) == ((1,), True)
    assert search.best_within(losses, limit * 0.99) == (None, False)
    assert search.reaches(limit)
    assert not search.reaches(limit * 0.99)


def test_a_proof_turns_from_what_no_price_lets_keep_to_the_limit():
    """At one price alone 2,223 choices are begun here."""
    random, count = np.random.RandomState(3), 24
    tables = [
        LayerTable((knob, knob + 1), *(np.sort(random.random_sample(4))[::-1].reshape(2, 2) + 0.2 for _ in range(3)))
        for knob in range(count - 1)
    ]
    losses = [np.array([0.0, random.random_sample()]) for _ in range(count)]
    search = ExactSearch(SimpleNamespace(knobs=[SimpleNamespace(options=range(2))] * count, tables=tables), "edp")
    lowest, highest = search.cost(search.cheapest()), search.cost((0,) * count)
    _, proven = search.best_within(losses, lowest + 0.3 * (highest - lowest), 1000)
    assert proven


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=30), st.integers(2, 8))
def test_widths_that_cost_no_less_than_a_wider_one_are_dropped(costs, count):
    options = [(width,) for width in range(len(costs), 0, -1)]
    kept = liked(options, costs, count)
    assert kept[0] == options[0]
    assert len(kept) <= count
    assert kept == sorted(kept, reverse=True)
    by_width = dict(zip(options, costs, strict=True))
    for narrow, wide in itertools.combinations(reversed(kept), 2):
        assert not (by_width[wide][0] <= by_width[narrow][0] and by_width[wide][1] <= by_width[narrow][1])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 40))
def test_predicted_losses_never_fall_with_narrowing(seed, knobs, count):
    random = np.random.RandomState(seed)
    shares = [np.sort(random.uniform(0.1, 1, 6))[::-1] / 1.0 for _ in range(knobs)]
    choices = [tuple(random.randint(0, 6, knobs).tolist()) for _ in range(count)]
    losses = predicted_losses(shares, choices, random.random_sample(count).tolist())
    for each in losses:
        assert (np.diff(each) >= -1e-12).all()


def test_prediction_finds_which_knob_matters():
    random = np.random.RandomState(0)
    shares = [np.geomspace(1, 0.125, 8)] * 3
    choices = [tuple(random.randint(0, 8, 3).tolist()) for _ in range(60)]
    true = [0.05 * (1 / shares[0][a] - 1) + 0.4 * math.log(1 / shares[1][b]) for a, b, _ in choices]
    first, second, third = predicted_losses(shares, choices, true)
    assert first[-1] == pytest.approx(0.35, rel=0.2)
    assert second[-1] == pytest.approx(0.4 * math.log(8), rel=0.2)
    assert third[-1] < 0.1


def test_groups_that_are_concatenated_share_a_knob():
    from dovetail.accuracy.models import ModelSpec

    with torch.device("meta"):
        graph = channel_graph(ModelSpec("densenet121", size=32)(), (1, 3, 32, 32))
    tied = tied_groups(graph)
    assert sorted(group for groups in tied for group in groups) == list(range(len(graph.groups)))
    assert sorted(len(groups) for groups in tied if len(groups) > 1) == [7, 13, 17, 25]  # growth, and what came before


class Dense(torch.nn.Module):
    """Concatenations as in a DenseNet, and a depthwise convolution."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(1, 4, 3, padding=1)
        self.grow = torch.nn.ModuleList(torch.nn.Conv2d(4 + 3 * i, 3, 3, padding=1) for i in range(2))
        self.deep = torch.nn.Conv2d(10, 10, 3, padding=1, groups=10)
        self.last = torch.nn.Conv2d(10, 6, 1)
        self.head = torch.nn.Linear(6, 5)

    def forward(self, image):
        parts = [self.stem(image)]
        for layer in self.grow:
            parts.append(torch.relu(layer(torch.cat(parts, 1))))
        x = torch.relu(self.last(self.deep(torch.cat(parts, 1))))
        return self.head(x.mean((2, 3)))


def test_costs_add_up_through_concatenations_and_depthwise_layers(toy):
    _, oracle, _ = toy
    model = Dense().eval()
    graph = channel_graph(model, (1, 1, 6, 6))
    shapes = network_shapes(model, graph, (1, 1, 6, 6), "dense")
    space = search_space(shapes, oracle, kept=3)
    search = ExactSearch(space, "edp")
    assert all(len(table.knobs) <= 2 for table in space.tables)
    for choice in itertools.product(*(range(size) for size in search.sizes)):
        figures = oracle.figures(shapes, space.widths(choice))
        assert search.cost(choice) == pytest.approx(figures.edp_J_cycle, rel=1e-12)
    found = trace(prune(model, graph, graph.kept(space.widths(choice), importance_order(model, graph))), (1, 1, 6, 6))
    assert [layer.problem for layer in found.layers] == [
        each.problem for each in shapes.at(space.widths(choice)).layers
    ]


def task_of(toy, targets, **options):
    space, oracle, shapes = toy
    graph = shapes.graph
    original = oracle.figures(shapes, graph.widths)
    lost = [1.0, 0.3, 0.2, 0.1]  # narrowing the first group hurts most

    def measured(widths):
        loss = sum(
            weight * math.log(group.channels / width)
            for weight, group, width in zip(lost, graph.groups, widths, strict=True)
        )
        return Measurement(loss, 0.9 - loss / 10)

    def importance():  # falling, and least of all in the last group
        return [weight * np.geomspace(1, 0.1, group.blocks) for weight, group in zip(lost, graph.groups, strict=True)]

    own = {"budget": 40, "importance": importance}
    return Task(space, measured, parse_targets(targets), original, **(own | options))


@pytest.mark.parametrize("name", sorted(SEARCHES))
def test_every_search_meets_its_targets_and_repeats_itself(toy, name):
    targets = ["edp=0.5x", "edp=0.2x"]
    found = SEARCHES[name](task_of(toy, targets))
    again = SEARCHES[name](task_of(toy, targets))
    assert found == again
    task = task_of(toy, targets)
    for target, limit in task.limits().items():
        assert 1 <= len(found[target]) <= 2
        assert all(task.cost(widths) <= limit for widths in found[target])


@pytest.mark.parametrize("name", ["supernet", "netadapt"])
@pytest.mark.parametrize("seed", range(3))
def test_what_a_target_allows_is_spent_however_the_measurements_fall(toy, name, seed):
    """Measured loss says nothing here: no network to train has a knob that could be wider within its target."""
    random = np.random.RandomState(seed)
    noise = {}
    task = replace(
        task_of(toy, ["edp=0.5x", "edp=0.3x"]),
        measure=lambda widths: Measurement(noise.setdefault(widths, 1 + random.random_sample() / 200), 0.5),
    )
    found, search = SEARCHES[name](task), ExactSearch(task.space, "edp")
    choices = {task.space.widths(each): each for each in itertools.product(*map(range, search.sizes))}
    for target, limit in task.limits().items():
        for choice in (choices[widths] for widths in found[target]):
            assert search.cost(choice) <= limit
            for knob, option in enumerate(choice):
                for wider in range(option):
                    assert search.cost((*choice[:knob], wider, *choice[knob + 1 :])) > limit


def test_of_equals_the_widest_comes_first(toy):
    task = replace(task_of(toy, ["edp=0.5x"]), measure=lambda _widths: Measurement(1.0, 0.5), finalists=3)
    (found,) = SEARCHES["supernet"](task).values()
    assert [sum(widths) for widths in found] == sorted((sum(widths) for widths in found), reverse=True)


def test_the_exact_search_loses_least(toy):
    target = ["edp=0.2x"]
    losses = {}
    for name in ("supernet", "netadapt", "uniform"):
        task = task_of(toy, target, budget=60)
        (found,) = SEARCHES[name](task).values()
        losses[name] = task.measure(found[0]).loss
    assert losses["supernet"] <= losses["netadapt"] + 1e-9
    assert losses["supernet"] <= losses["uniform"] + 1e-9


def test_a_knapsack_keeps_the_most_importance_that_fits(toy):
    task = task_of(toy, ["edp=0.5x", "edp=0.2x"])
    found, importance = SEARCHES["knapsack"](task), task.importance()

    def kept(widths):
        return sum(float(each[:width].sum()) for each, width in zip(importance, widths, strict=True))

    sizes = [len(knob.options) for knob in task.space.knobs]
    everything = [task.space.widths(choice) for choice in itertools.product(*map(range, sizes))]
    for target, limit in task.limits().items():
        assert task.proven[target]
        assert kept(found[target][0]) == pytest.approx(max(kept(w) for w in everything if task.cost(w) <= limit))
    assert not task.measured


def test_random_networks_are_as_many_as_others_may_measure(toy):
    task = task_of(toy, ["edp=0.5x", "edp=0.2x"])
    found = SEARCHES["random"](task)
    assert 0 < len(task.measured) <= task.budget
    for target, limit in task.limits().items():
        fitting = [measured.loss for widths, measured in task.measured.items() if task.cost(widths) <= limit]
        assert task.measured[found[target][0]].loss == min(fitting)


def test_importance_is_what_scaling_a_channels_weights_changes(toy):
    """By the chain rule the sum of gradient x weight is the derivative of the loss by one factor on all the weights."""
    _, _, shapes = toy
    torch.manual_seed(3)
    model, graph = five_layer(3, 10, 1).double().eval(), shapes.graph
    images, labels = torch.rand(8, 1, 8, 8, dtype=torch.float64), torch.arange(8) % 10
    split = type("Split", (), {"batches": lambda *_: [(images, labels)], "__len__": lambda _: 8})()
    scores = taylor_importance(model, graph, split, 10, Execution("cpu"))

    def loss_with(group, block, factor):
        scaled = copy.deepcopy(model)
        with torch.no_grad():
            for axis in graph.axes:
                module, here = scaled.get_submodule(axis.module), (axis.owners == group) & (axis.channels == block)
                if axis.side == "in":
                    module.weight[:, here] *= factor
                    continue
                for parameter in filter(lambda each: each is not None, (module.weight, module.bias)):
                    parameter[here] *= factor
            return float(torch.nn.functional.cross_entropy(scaled(images).double(), labels))

    for group in range(len(graph.groups)):
        for block in range(graph.groups[group].blocks):
            slope = (loss_with(group, block, 1 + 1e-6) - loss_with(group, block, 1 - 1e-6)) / 2e-6
            assert math.sqrt(scores[group][block]) == pytest.approx(abs(slope), rel=1e-3, abs=3e-6)  # single precision


@pytest.mark.parametrize("name", sorted(SEARCHES))
def test_a_target_out_of_reach_names_the_nearest(toy, name):
    with pytest.raises(UnreachableError, match=r"nearest reachable is edp=0\.\d+x") as refused:
        SEARCHES[name](task_of(toy, ["edp=0.9x", "edp=0.00001x"]))
    assert refused.value.target == Target("edp", 0.00001, True)


def test_a_budget_that_ends_too_early_names_the_nearest(toy):
    with pytest.raises(UnreachableError, match=r"none of the \d+ networks measured \(--candidates\).* the nearest is"):
        SEARCHES["netadapt"](task_of(toy, ["edp=0.1x"], budget=5))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("edp=0.3x", [Target("edp", 0.3, True)]),
        ("energy=30%", [Target("energy", 0.3, True)]),
        ("cycles=2e6", [Target("cycles", 2e6, False)]),
        (" MACS = 5e5 ", [Target("macs", 5e5, False)]),
    ],
)
def test_targets_are_read(text, expected):
    assert list(parse_targets([text])) == expected


def test_a_front_is_many_targets_loosest_first():
    front = parse_targets(["energy=front"])
    assert {target.metric for target in front} == {"energy"}
    assert [target.value for target in front] == sorted((target.value for target in front), reverse=True)
    assert parse_targets(["front"])[0].metric == "edp"


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["edp"], "a value is missing"),
        (["epd=0.3x"], "did you mean 'edp'"),
        (["edp=much"], "is no amount"),
        (["edp=-1"], "is no amount"),
        (["edp=0"], "is no amount"),
        (["edp=1.5x"], "no less than the original"),
        (["edp=0.3x", "cycles=5"], "share one metric"),
        (["1.2.3"], "unknown|write edp"),
    ],
)
def test_wrong_targets_are_one_message(texts, words):
    with pytest.raises(InputError, match=words):
        parse_targets(texts)


@given(st.floats(1, 1e12), st.integers(1, 10**12), st.floats(0.01, 0.99), st.sampled_from(sorted(METRICS)))
def test_a_relative_limit_is_that_share(energy, cycles, share, metric):
    original = PassCost(energy, cycles, 1000)
    assert Target(metric, share, True).limit(original) == share * metric_of(original, metric)
