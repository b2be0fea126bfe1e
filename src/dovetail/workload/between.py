"""What operations between products do to each element, in steps of one lane of a vector unit.

A step is what a lane does in a cycle: a multiply-add, an addition, a multiplication, a comparison, a choice. Functions
are those of S. L. Moshier's Cephes library in single precision: ``expf`` is a rounding, two steps that take the power
of 2 off, a polynomial of degree 5 (5 steps), its square, its end (2) and the power of 2 put back, with the first
product 13; ``logf`` as many. A reciprocal is a look-up and two steps of Newton (2 each), a reciprocal root likewise (3
each). The error function is M. Abramowitz and I. Stegun's 7.1.26. What is done once a row (the reciprocal of a
softmax's sum, the root of a norm) is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.workload.network import NOTHING_MOVED, Moved

EXP, LOG, RECIPROCAL, ROOT = 13, 13, 5, 7
DIVIDE = RECIPROCAL + 1
SIGMOID = EXP + 1 + RECIPROCAL
TANH = EXP + 3 + DIVIDE
ERF = 1 + RECIPROCAL + 5 + EXP + 1

#: Steps per element; of what is not listed, one.
STEPS: dict[str, int] = {
    "softmax": 3 + EXP + 1,  # the largest, the difference, its power, the sum, the share
    "log_softmax": 3 + EXP + 1,
    "softmax_block": 3 + EXP,  # of a softmax in blocks: the largest, the difference, its power, the sum
    "softmax_state": 2 + EXP + 1,  # once a row and block: the larger one, the difference, its power, the new sum
    "softmax_rescale": 1,
    "softmax_share": 1,
    "layer_norm": 5,  # the sum, the difference, the sum of squares, both scales
    "group_norm": 5,
    "instance_norm": 5,
    "instance_normalization": 5,
    "group_normalization": 5,
    "layer_normalization": 5,
    "rms_norm": 3,  # the sum of squares, both scales
    "_fused_rms_norm": 3,
    "rms_normalization": 3,
    "rotary": 2,  # each element and its partner, times cosine and sine
    "rotary_embedding": 2,
    "clamp": 2,
    "clip": 2,
    "hardtanh": 2,
    "relu6": 2,
    "leaky_relu": 2,
    "prelu": 2,
    "hardsigmoid": 3,
    "hardswish": 4,
    "sigmoid": SIGMOID,
    "silu": SIGMOID + 1,
    "silu_gate": SIGMOID + 2,
    "gelu": ERF + 3,
    "gelu_gate": ERF + 4,
    "relu_gate": 2,
    "tanh": TANH,
    "erf": ERF,
    "exp": EXP,
    "log": LOG,
    "sin": EXP,
    "cos": EXP,
    "softplus": EXP + LOG + 1,
    "elu": EXP + 2,
    "reciprocal": RECIPROCAL,
    "sqrt": ROOT + 1,
    "rsqrt": ROOT,
    "div": DIVIDE,
    "scan": EXP + 1 + 2 + 1,  # a state-space model's state: its decay, what comes in, the new state
}
#: How operations move words, where that is not reading all that they take and writing what they make.
_BY_WAY = {
    # What picks words of its first operand, and reads no others of it.
    "picks": ("embedding embedding_bag gather gather_elements gather_nd index _unsafe_index index_select take"),
    # What writes words into its first operand, and leaves the others of it where they are.
    "puts": (
        "index_put _index_put_impl index_copy index_add index_fill scatter scatter_add scatter_elements scatter_nd "
        "select_scatter slice_scatter tensor_scatter"
    ),
    # What else moves words and works on none.
    "moves": (
        "copy cat concat stack repeat tile pad constant_pad_nd reflection_pad2d replication_pad2d roll flip "
        "pixel_shuffle pixel_unshuffle channel_shuffle depth_to_space space_to_depth im2col col2im upsample_nearest2d "
        "fill zero state"
    ),
    # What only calls words otherwise: nothing moves.
    "views": ("transpose permute reshape view slice split expand unbind squeeze unsqueeze flatten identity"),
    # What is no operation when a trained network runs: folded into the product before it, or left out.
    "folded": ("batch_norm batch_normalization dropout native_dropout bitmask_dropout bias_dropout constant item"),
    # What works on each window of what goes in.
    "pools": ("max_pool avg_pool average_pool lp_pool"),
}
_WAY = {name: way for way, names in _BY_WAY.items() for name in names.split()}


def steps_of(name: str) -> int:
    """Return the steps of a vector unit's lane that an operation takes per element."""
    return 0 if _WAY.get(name, "pools") != "pools" else STEPS.get(name, 1)


def moved_by(name: str, taken: Sequence[tuple[int, bool]], made: int, window: int = 1) -> Moved:
    """Return what one run of an operation moves and works on.

    Args:
        name: the operation.
        taken: of each tensor that it takes, its words, and whether they depend on the network's input.
        made: words that it puts out.
        window: words that one word of a pooling comes from.
    """
    way = _WAY.get(name)
    if way in ("folded", "views") or not taken:
        return NOTHING_MOVED
    if way == "picks":
        return Moved(made + sum(words for words, _ in taken[1:]), made, 0)
    if way == "puts":
        put = [words for words, _ in taken[1:]]
        return Moved(sum(put), max(put, default=made), 0)
    reads = sum(words for words, varies in taken if varies)
    fixed = sum(words for words, varies in taken if not varies)
    elements = made * window if is_pooling(name) else max(made, *(words for words, _ in taken))
    return Moved(reads, made, elements, fixed)


def is_pooling(name: str) -> bool:
    """Say whether an operation works on windows of a size of its own."""
    return _WAY.get(name.rstrip("123d")) == "pools"
