"""The search among mappings whose factors need not divide, from the best perfect mapping on."""

from dovetail.mapper.imperfect.front import imperfect_front
from dovetail.mapper.imperfect.search import search_imperfect

__all__ = ["imperfect_front", "search_imperfect"]
