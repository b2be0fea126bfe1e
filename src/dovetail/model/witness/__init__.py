"""A slow and literal restatement of the reference's counting, to hold the model's closed forms against.

Nothing is shared with the rest of `dovetail.model`: the nest is walked loop by loop, tiles are sets of boxes that are
subtracted from each other, children are compared one by one, and traffic is kept in a table by (receivers of a word,
number of such groups). What is restated, file by file of NVlabs/timeloop: ``loop-analysis/nest-analysis.cpp`` (`nest`),
``point-set-multi-aahr.cpp``, ``point-set-aahr.cpp`` and ``operation-space.cpp`` (`boxes`), ``tiling.cpp`` (`traffic`),
``model/buffer.cpp``, ``network-legacy.cpp`` and ``topology.cpp`` (`costs`).

Here, as there, levels and loops are listed from inner to outer; level 0 is the one directly outside of compute.
"""

from dovetail.model.witness.costs import walk

__all__ = ["walk"]
