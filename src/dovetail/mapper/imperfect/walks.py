"""What one dimension adds to the visits of a tile, of many ways to factor it: the walk of the model, in closed form.

Where every axis of a tensor has one dimension, its tiles never overlap, and the visits of a nest are all combinations
of those of its dimensions: what the model counts is a product over the dimensions. `docs/mapper.md` has the argument.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dovetail.mapper.imperfect.ways import Ways
from dovetail.model.arrays import Bools, Floats, Ints


@dataclass(frozen=True)
class Walk:
    """The walks of the first child through the passes of one dimension.

    Attributes:
        ways: how it is factored.
        inside: ``(ways, levels)`` extent of a child's tile.
        short: ``(ways, levels)`` the same at the end of the dimension.
    """

    ways: Ways
    inside: Ints
    short: Ints

    @staticmethod
    def of(ways: Ways) -> Walk:
        """Work out the extents."""
        inside, short = ways.inside, np.ones_like(ways.over_time)
        extent = np.ones(len(ways), np.int64)
        for level in range(inside.shape[1] - 1, -1, -1):
            short[:, level] = extent
            extent = extent + inside[:, level] * (ways.last_space[:, level] - 1)
            extent = extent + inside[:, level] * ways.in_space[:, level] * (ways.last_time[:, level] - 1)
        return Walk(ways, inside, short)

    def passes(self, outside: int) -> Ints:
        """Return ``(ways,)`` the passes over the loops at a level and outside of it; none for -1."""
        full, ended = np.ones(len(self.ways), np.int64), np.ones(len(self.ways), np.int64)
        for level in range(outside, -1, -1):
            ended = np.where(self.ways.last_space[:, level] > 1, full, ended)
            ended = ended + full * (self.ways.last_time[:, level] - 1)
            full = full * self.ways.over_time[:, level]
        return ended

    def _ends(self, level: int, outside: int) -> tuple[Bools, Bools, Bools]:
        """Return whether a level's children, and a child's tile, are ever at the end, and if in one iteration.

        Loops further in than ``outside`` stand still at their first iteration.
        """
        reached, alone = np.ones(len(self.ways), np.bool_), np.zeros(len(self.ways), np.bool_)
        before = reached
        for at in range(level + 1):
            loops, last = self.ways.over_time[:, at] > 1, self.ways.last_time[:, at]
            if at <= outside:
                alone = np.where(loops, reached & (last == 1), alone)
            else:
                reached = reached & (~loops | (last == 1))
            before, reached = reached, reached & (self.ways.last_space[:, at] == 1)
        return before, reached, alone

    def moving(self, level: int, step: int, *, around: bool) -> tuple[Floats, Floats]:
        """Return ``(ways,)`` the extents sent to a level's children one after another, and those surely sent.

        Args:
            level: the level.
            step: how far an iteration moves the tile along its axis.
            around: whether the innermost loop at the level, which has one child, is the dimension's: after a jump to
                the end the model counts the words of iteration 1 again.
        """
        ways, at_end, short, alone = self.ways, *self._ends(level, level)
        whole = 1 + step * (self.inside[:, level] - 1)
        end = np.where(short, 1 + step * (self.short[:, level] - 1), whole)
        if around:
            jumped = (ways.last_time[:, level] == ways.over_time[:, level]) & (ways.over_time[:, level] > 2)
            end = np.where(jumped, whole, end)
        end = end * np.where(at_end, ways.last_space[:, level], ways.in_space[:, level])
        sent = (self.passes(level) - 1) * whole * ways.in_space[:, level] + end
        return sent.astype(np.float64), np.where(alone, sent - end, sent).astype(np.float64)

    def standing(self, level: int, outside: int) -> tuple[Floats, Floats]:
        """Return ``(ways,)`` the passes over loops from ``outside`` on, and a level's children in all of them."""
        passes, (at_end, _, _) = self.passes(outside), self._ends(level, outside)
        children = self.ways.in_space[:, level]
        last = np.where(at_end, self.ways.last_space[:, level], children)
        return passes.astype(np.float64), ((passes - 1) * children + last).astype(np.float64)

    def may_stand(self, level: int) -> Bools:
        """Return ``(ways,)`` whether the end is one iteration of the innermost loop, so that a tile may stand still."""
        return self._ends(level, level)[2]

    def in_use(self) -> Floats:
        """Return ``(ways, levels + 1)`` the share in the average of instances in use at a level; last, of compute."""
        ways, average = self.ways, np.ones(len(self.ways))
        columns = []
        for level in range(self.inside.shape[1]):
            columns.append(average)
            passes = np.ones(len(ways))
            for at in range(level + 1):
                passes = ways.last_time[:, at] + ways.over_time[:, at] * (passes - 1)
                if at < level:
                    passes = ways.last_space[:, at] + ways.in_space[:, at] * (passes - 1)
            children, last = ways.in_space[:, level], ways.last_space[:, level]
            average = average * np.where(last == children, children, (last + children * (passes - 1)) / passes)
        return np.stack([*columns, average], axis=1)

    def at_most_in_use(self) -> Floats:
        """Return ``(ways, levels + 1)`` the share in the instances that any pass uses; last, of compute."""
        ones = np.ones((len(self.ways), 1))
        return np.concatenate([ones, self.ways.in_space.cumprod(axis=1)], axis=1)

    def held(self, bound: int) -> tuple[Ints, Ints, Ints]:
        """Return ``(ways, levels)`` the extents that say an instance's own part, and the largest at a level.

        Those of a child's tile and of what all children hold together, at the end of the dimension if they are there
        always; and that of the level's own tile, of the whole dimension at most.
        """
        ways, always = self.ways, np.ones(len(self.ways), np.bool_)
        tile, together = self.inside.copy(), self.inside * self.ways.in_space
        for level in range(self.inside.shape[1]):
            always = always & ((ways.over_time[:, level] == 1) | (ways.last_time[:, level] == 1))
            end = self.short[:, level] + self.inside[:, level] * (ways.last_space[:, level] - 1)
            together[:, level] = np.where(always, end, together[:, level])
            always = always & (ways.last_space[:, level] == 1)
            tile[:, level] = np.where(always, self.short[:, level], tile[:, level])
        return tile, together, np.minimum(self.inside * ways.in_space * ways.over_time, bound)
