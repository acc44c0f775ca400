"""Drawings as SVG within the page. They are made of numbers only, never of text from the server."""

from collections.abc import Sequence
from functools import cache

import svg
from markupsafe import Markup

from ...summary import CodeType

CELL = 14
"""Side of a cell of the matrix, in pixels; the style sheet has the same number."""


def inline(
    width: float, height: float, kind: str, elements: Sequence[svg.Element], *, stretched: bool = True
) -> Markup:
    """Return a drawing that screen readers skip: the page says the same in words beside it."""
    drawing = svg.SVG(
        xmlns=None,
        viewBox=svg.ViewBoxSpec(0, 0, width, height),
        width=None if stretched else width,
        height=None if stretched else height,
        preserveAspectRatio=svg.PreserveAspectRatio("none") if stretched else None,
        class_=[kind],
        extra={"aria-hidden": "true"},
        elements=list(elements),
    )
    return Markup(drawing.as_str())  # noqa: S704  # made of numbers


def share_bar(share: float) -> Markup:
    """Return a bar that is filled to this share."""
    return inline(100, 1, "share", [svg.Rect(width=round(100 * share, 2), height=1)])


def steps(heights: Sequence[int]) -> Markup:
    """Return a filled step curve. All steps have the same width, and the highest step has the full height."""
    top = max(heights, default=0) or 1
    outline: list[svg.PathData] = [svg.M(0, 100)]
    for number, height in enumerate(heights):
        outline += [svg.V(round(100 - 100 * height / top, 1)), svg.H(number + 1)]
    return inline(max(len(heights), 1), 100, "steps", [svg.Path(d=[*outline, svg.V(100), svg.Z()])])


def cells(types: Sequence[CodeType | None], usual: int) -> Markup:
    """Return a row of the matrix: each type has a shape and a colour, and a usual key that is missing has a cross."""
    marks: dict[str, list[svg.PathData]] = {}
    for column, type in enumerate(types):
        kind = "lacks" if type is None else type.value
        if type is not None or column < usual:
            marks.setdefault(kind, []).extend(_mark(kind, CELL * column))
    paths = [svg.Path(d=mark, class_=[kind]) for kind, mark in marks.items()]
    return inline(CELL * len(types), CELL, "cells", paths, stretched=False)


def sample(kind: str) -> Markup:
    """Return one mark, for the legend."""
    return inline(CELL, CELL, "cells", [svg.Path(d=_mark(kind, 0), class_=[kind])], stretched=False)


@cache
def _mark(kind: str, x: int) -> list[svg.PathData]:
    match kind:
        case "done":
            return [svg.M(x + 2, 2), svg.h(10), svg.v(10), svg.h(-10), svg.Z()]
        case "aborted":
            return [svg.M(x + 7, 1), svg.l(6, 6), svg.l(-6, 6), svg.l(-6, -6), svg.Z()]
        case "delay":
            return [svg.M(x + 2, 7), svg.a(5, 5, 0, True, False, 10, 0), svg.a(5, 5, 0, True, False, -10, 0), svg.Z()]
        case "appointment":
            return [svg.M(x + 7, 2), svg.l(6, 10), svg.h(-12), svg.Z()]
        case "unclear":
            return [svg.M(x + 3, 3), svg.h(8), svg.v(8), svg.h(-8), svg.Z()]
        case _:
            return [svg.M(x + 3, 3), svg.l(8, 8), svg.m(0, -8), svg.l(-8, 8)]
