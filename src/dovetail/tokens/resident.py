"""What stays on chip between the layers and the steps of a language model: weights, the cache, activations.

The rule, kind by kind in the order they are given, each in what the ones before have left of its level:

- **weights**: of the products with weights, in the order they run, each product's weights (those of all its runs, and
  of equal products, together) stay if they fit into what is left; where they do not, the next product is tried.
- **cache**: likewise of attention's two products, whose keys or values of all runs and sequences stay. New keys and
  values are outputs of the products that make them, and written as those are.
- **activations**: what one run of a product takes in or puts out stays if it is no larger than T words. T is the
  largest for which there is room for every product's operands and outputs of up to T words at a time, beside the rows
  that the additions around a block's parts hold.

Words are those of the level, which may hold several narrow values each, or a wide one in several; rows that additions
hold are in its own. What stays takes its words for the whole step, whatever layer runs; `dovetail.network.resident`
says what its accesses cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InputError, did_you_mean
from dovetail.hardware.architecture import Architecture, Storage
from dovetail.mapping.widths import words_of_value
from dovetail.network.resident import check_level, passing, with_resident
from dovetail.units import whole as whole_number
from dovetail.workload.language.layers import Step
from dovetail.workload.language.model import LanguageModel
from dovetail.workload.network import Layer, Network, problem_key

Kind = Literal["weights", "activations", "cache"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_WEIGHTS, _INPUTS, _OUTPUTS = "Weights", "Inputs", "Outputs"


@dataclass(frozen=True)
class Resident:
    """Something that is asked to stay.

    Attributes:
        kind: what.
        level: where.
    """

    kind: Kind
    level: str

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{self.kind}@{self.level}"


def parse_residents(text: str) -> list[Resident]:
    """Read ``weights@shared_glb,cache@shared_glb``.

    Raises:
        InputError: a part is none.
    """
    found = []
    for part in text.split(","):
        kind, sign, level = part.partition("@")
        if not sign or not level:
            raise InputError(f"'{part}': write what stays, and the level that it stays in, as weights@shared_glb")
        known = next((each for each in KINDS if each == kind), None)
        if known is None:
            raise InputError(f"'{kind}' is nothing that stays{did_you_mean(kind, KINDS)}")
        found.append(Resident(known, level))
    return found


@dataclass
class Stay:
    """What of one kind stays.

    Attributes:
        asked: what is asked to stay.
        words: that take room, of all that stays.
        of: words that there are of it in all; of activations, the most that a product has at a time.
        tensors: per layer's name, the tensors that stay, by the names they came with.
    """

    asked: Resident
    words: int = 0
    of: int = 0
    tensors: dict[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What stays during a step, and how much room that leaves.

    Attributes:
        stays: of each kind that is asked for.
        whole: whether every activation stays.
        level: where activations stay; None: nowhere.
    """

    stays: tuple[Stay, ...]
    whole: bool = False
    level: str | None = None

    @property
    def texts(self) -> Iterator[str]:
        """What stays, in words."""
        for stay in self.stays:
            share = "all" if stay.words == stay.of else f"{whole_number(stay.words)} of {whole_number(stay.of)} words"
            yield f"{stay.asked.kind} kept in {stay.asked.level}: {share}"

    def to_json(self) -> list[dict[str, Any]]:
        """Return plain data."""
        return [
            {"what": stay.asked.kind, "level": stay.asked.level, "words": stay.words, "of_words": stay.of}
            for stay in self.stays
        ]

    def design_of(
        self, layer: Layer, architecture: Architecture, energies: EnergyTable
    ) -> tuple[Architecture, EnergyTable] | None:
        """Return the design that a layer, in some reading, runs on; None: what stays passes its level by in this one.

        Activations that would pass their level by are read and written as if they did not stay.
        """
        outputs = {tensor.name for tensor in layer.problem.shape.tensors if tensor.is_output}
        for level in dict.fromkeys(stay.asked.level for stay in self.stays):
            here = [stay for stay in self.stays if stay.asked.level == level]
            memory = check_level(architecture, level)
            staying: set[str] = set()
            for stay in here:
                names = {layer.word(name) for name in stay.tensors.get(layer.name, frozenset())}
                passed = passing(memory, names)
                if passed and stay.asked.kind != "activations":
                    return None
                staying |= names - passed
            reserved = sum(stay.words for stay in here)
            operands, results = staying - outputs, staying & outputs
            design = with_resident(architecture, energies, level, operands=operands, outputs=results, reserved=reserved)
            architecture, energies = design
        return architecture, energies


def plan_of(
    model: LanguageModel, step: Step, network: Network, architecture: Architecture, asked: Sequence[Resident]
) -> Plan:
    """Return what stays of what is asked to stay during a step.

    Raises:
        InputError: nothing can stay in a level, the design lets what is asked for pass it by, or it is asked twice.
    """
    for place, each in enumerate(asked):
        if any(each.kind == other.kind for other in asked[:place]):
            raise InputError(f"{each.kind} are asked to stay twice; name one level")
    memories = {each.level: check_level(architecture, each.level) for each in asked}
    room = {name: memory.words or 0 for name, memory in memories.items()}
    stays, whole, level = [], False, None
    for each in asked:
        _refuse(architecture, each)
        if each.kind == "activations":
            stay, whole = _activations(model, step, network, each, (memories[each.level], room[each.level]))
            level = each.level
        else:
            stay = _operands(network, each, (memories[each.level], room[each.level]))
        room[each.level] -= stay.words
        stays.append(stay)
    return Plan(tuple(stays), whole, level)


def _refuse(architecture: Architecture, asked: Resident) -> None:
    """Refuse what passes its level by whatever a product's operands are called: keys may be either of two."""
    memory = check_level(architecture, asked.level)
    ways = {"weights": ({_WEIGHTS},), "cache": ({_WEIGHTS}, {_INPUTS}), "activations": ({_INPUTS}, {_OUTPUTS})}
    if all(passing(memory, way) for way in ways[asked.kind]):
        raise InputError(f"{memory.name} of {architecture.name} lets {asked.kind} pass by, so they cannot stay there")


def _operands(network: Network, asked: Resident, into: tuple[Storage, int]) -> Stay:
    """Return what stays of weights, or of the cache; ``into``: the memory, and the words that it has left."""
    (memory, room), stay, mixes = into, Stay(asked), asked.kind == "cache"
    distinct = [layer for layer in network.distinct() if (layer.kind == "matrix product") == mixes]
    if mixes:
        distinct = [layer for layer in distinct if not layer.name.partition(":")[0].endswith("ssm.state")]
    staying: set[object] = set()
    for layer in distinct:
        words = layer.repeats * _words(layer, _WEIGHTS, memory)
        stay.of += words
        if stay.words + words <= room:
            stay.words += words
            staying.add(problem_key(layer))
    for layer in network.layers:
        if problem_key(layer) in staying:
            stay.tensors[layer.name] = frozenset({_WEIGHTS})
    return stay


def _words(layer: Layer, tensor: str, memory: Storage) -> int:
    """Return the words of a memory that a layer's tensor takes there."""
    problem, width = layer.problem, layer.problem.width_of(tensor)
    values = next((problem.words(each) for each in problem.shape.tensors if each.name == tensor), 0)
    return values if width is None else math.ceil(values * words_of_value(memory, width, tensor, passes=True))


def _activations(
    model: LanguageModel, step: Step, network: Network, asked: Resident, into: tuple[Storage, int]
) -> tuple[Stay, bool]:
    """Return which activations stay, and whether all do; ``into`` as `_operands` has it."""
    memory, room = into
    values = {
        layer.name: {name: _words(layer, name, memory) for name in (_INPUTS, _OUTPUTS)} for layer in network.layers
    }
    held = (
        step.batch
        * max(step.rows if model.decodes else 0, step.source if _encoding(model, step) else 0)
        * _width(model)
    )
    sizes = sorted({size for each in values.values() for size in each.values()})
    stay = Stay(asked, of=held + max((sum(each.values()) for each in values.values()), default=0))
    largest = 0
    for size in sizes:
        needed = held + max(sum(words for words in each.values() if words <= size) for each in values.values())
        if needed > room:
            break
        largest, stay.words = size, needed
    for name, each in values.items():
        if names := frozenset(tensor for tensor, words in each.items() if words <= largest):
            stay.tensors[name] = names
    return stay, bool(sizes) and largest == sizes[-1]


def _encoding(model: LanguageModel, step: Step) -> bool:
    return step.phase == "prefill" and model.encodes


def _width(model: LanguageModel) -> int:
    """Return the words of a row that additions hold: those of the widest."""
    return max((each.writes for block in model.blocks for each in block.between if each.name == "add"), default=0)
