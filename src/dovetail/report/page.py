"""Writes a report as one HTML page that needs nothing else: opens from disk, on a phone, without a network."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2

from dovetail.advice.advice import Advice
from dovetail.json_text import json_document, json_text
from dovetail.network.bottleneck import Diagnosis, diagnose_networks
from dovetail.network.costs import NetworkCost
from dovetail.network.one_bit import OneBit
from dovetail.network.plain import comparison_fields
from dovetail.report.data import KnownAccuracy, report_data
from dovetail.store import Store
from dovetail.workload.published_accuracy import FIRST, published_accuracies

_ASSETS = resources.files("dovetail.report") / "assets"


def report_page(
    costs: Sequence[NetworkCost],
    *,
    title: str = "",
    accuracies: Mapping[str, KnownAccuracy] | None = None,
    sections: Sequence[Mapping[str, Any]] = (),
    diagnoses: Sequence[Sequence[Diagnosis]] | None = None,
    advice: Sequence[Advice] = (),
    document: Mapping[str, Any] | None = None,
    changes: Sequence[Sequence[Sequence[OneBit]]] | None = None,
) -> str:
    """Return the page.

    Args:
        costs: mapped networks on designs, in the order to show them.
        title: its heading; empty: made from the networks and designs.
        accuracies: by network's name; None: those that torchvision publishes, where a network has its name.
        sections: shown before the networks; see `dovetail.report.sections`.
        diagnoses: of each network's distinct layers, where they are known already.
        advice: what to change, of those of the mapped networks that it was asked of; see `dovetail.advice`.
        document: the object that the page's button JSON saves; None: the comparison of the networks.
        changes: of each network's distinct layers, one bit fewer and more on each tensor; None: not asked for.
    """
    known = published_for(costs) if accuracies is None else accuracies
    told = _told(costs) if diagnoses is None else diagnoses
    options: dict[str, Any] = {"sections": sections, "diagnoses": told, "advice": advice, "changes": changes}
    data = report_data(costs, title=title or _title(costs), accuracies=known, **options)
    return page_of(data, _comparison(costs, told, changes) if document is None else document)


def _told(costs: Sequence[NetworkCost]) -> Sequence[Sequence[Diagnosis]]:
    with Store.open() as store:
        return diagnose_networks(costs, store)


def _comparison(
    costs: Sequence[NetworkCost],
    diagnoses: Sequence[Sequence[Diagnosis]],
    changes: Sequence[Sequence[Sequence[OneBit]]] | None,
) -> dict[str, Any]:
    """Return what ``--json`` prints of them, for `dovetail.load`."""
    notes = list(dict.fromkeys(note for cost in costs for note in cost.notes))
    return json_document("comparison", {**comparison_fields(costs, diagnoses, changes), "notes": notes})


def page_of(data: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """Return the page that shows what `dovetail.report.data.report_data` made, and saves a document of results."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(_asset("page.html"))
    return template.render(
        data=data,
        style=_asset("page.css"),
        charts=_script(_asset("echarts.min.js")),
        script="\n".join(_script(_asset(name)) for name in ("page.js", "charts.js", "family.js", "details.js")),
        payload=_payload(data),
        document=_packed(document),
    )


def published_for(costs: Sequence[NetworkCost]) -> dict[str, KnownAccuracy]:
    """Return torchvision's accuracies of the networks that have one of its names and its usual input.

    All come from the first set of weights, which nearly every model has: points of one curve need one recipe.
    """
    entries = {entry.model: entry for entry in published_accuracies() if entry.weights == FIRST}
    names = {cost.network.name: cost.network.source for cost in costs}
    return {
        name: KnownAccuracy(entries[name].top1_percent, f"torchvision {entries[name].weights}")
        for name, source in names.items()
        if name in entries and f"3x{entries[name].input_size}x{entries[name].input_size}" in source
    }


def _title(costs: Sequence[NetworkCost]) -> str:
    networks = ", ".join(dict.fromkeys(cost.network.name for cost in costs))
    designs = ", ".join(dict.fromkeys(cost.architecture.name for cost in costs))
    return f"{networks} on {designs}"


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _script(text: str) -> str:
    """Return a script that no text inside it can end."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _payload(data: Mapping[str, Any]) -> str:
    """Return the data as JSON that may stand inside a script element."""
    text = json_text(data, indent=None, digits=6)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _packed(document: Mapping[str, Any]) -> str:
    """Return a document as base64 of compressed JSON, numbers in full: a tenth of its text, which the page unpacks."""
    return base64.b64encode(gzip.compress(json_text(document).encode(), mtime=0)).decode()
