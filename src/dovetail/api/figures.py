"""Pictures of results as values: a notebook shows them, `save` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dovetail.errors import InputError, did_you_mean
from dovetail.network.costs import NetworkCost
from dovetail.report.figures import layers_figure, roofline_figure, totals_figure, write_picture

_OF_ONE = {"layers": layers_figure, "roofline": roofline_figure}


@dataclass(frozen=True, repr=False)
class Figure:
    """A picture.

    Attributes:
        svg: as SVG.
        title: what it shows.
    """

    svg: str
    title: str

    def save(self, path: str | Path) -> Path:
        """Write it, as PNG where the path ends in ``.png``, else as SVG; returns the path.

        Raises:
            MissingExtraError: PNG is asked for and the extra ``png`` is absent.
        """
        return write_picture(Path(path), self.svg, "png" if Path(path).suffix.lower() == ".png" else "svg")

    def __repr__(self) -> str:
        return f"<Figure {self.title}>"

    def _repr_svg_(self) -> str:
        return self.svg


def figure_of(costs: Sequence[NetworkCost], kind: str = "") -> Figure:
    """Return a picture of networks on designs; see `Comparison.plot`."""
    kind = kind or ("layers" if len(costs) == 1 else "energy")
    if kind == "energy":
        return Figure(totals_figure(costs), "energy by level")
    if kind not in _OF_ONE:
        raise InputError(f"no picture is called '{kind}'{did_you_mean(kind, ['energy', *_OF_ONE])}")
    if len(costs) != 1:
        raise InputError(f"'{kind}' shows one result, and there are {len(costs)}: comparison[:1].plot('{kind}')")
    return Figure(_OF_ONE[kind](costs[0]), f"{kind} of {costs[0].name}")
