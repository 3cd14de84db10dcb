"""SVG: a flow drawn without any other program. Phases stand in rows by their distance from the first one.

A step from one row to the next is a curve between them; every other way (back, sideways, far ahead, from every phase)
has a lane of its own at the right, so that no line runs through a box and no two labels lie on each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from voiceagent.spec.graph import EVERY, FlowGraph, Line, Node, every_lines, lines_of, node_lines

__all__ = ["as_svg"]

_LINE = 15
_LETTER = 6.7
"""Width of a letter of the 11-pixel font, on average: boxes are made a little too wide rather than too narrow."""
_GAP = 28
_MARGIN = 20
_ROUNDS = 4


@dataclass(slots=True)
class _Box:
    name: str
    words: list[str]
    fill: str
    dashed: bool
    taken: bool
    now: bool = False
    x: float = 0
    y: float = 0

    @property
    def width(self) -> float:
        return max(len(line) for line in self.words) * _LETTER + 20

    @property
    def height(self) -> float:
        return len(self.words) * _LINE + 14


def as_svg(graph: FlowGraph, *, taken: Sequence[str] = (), now: str | None = None) -> str:
    """Return a picture that any browser shows.

    `taken` are the phases of a call, whose way is drawn thicker; of one that goes on, `now` is the one that is lit.
    """
    lines = lines_of(graph)
    boxes = {node.name: _box(node, taken=node.name in taken, now=node.name == now) for node in graph.nodes}
    steps = frozenset(pairwise(taken))
    if any(line.start == EVERY for line in lines):
        boxes[EVERY] = _Box(EVERY, every_lines(graph), "#ffffff", dashed=True, taken=False)
    rows = _ordered(_rows(graph, boxes), lines)
    row_of = {name: number for number, row in enumerate(rows) for name in row}
    straight = [line for line in lines if row_of[line.to] == row_of[line.start] + 1]
    _place(rows, boxes, straight)
    left, right = _sides(boxes, straight)
    drawn: list[str] = []
    for number in range(len(rows)):
        drawn += _curves([line for line in straight if row_of[line.start] == number], boxes, steps)
    for number, line in enumerate(line for line in lines if line not in straight):
        bottom = max(boxes[name].y + boxes[name].height for name in rows[row_of[line.start]])
        # Lanes side by side, and what leads to them one below the other.
        drawn += _lane(line, boxes, right, steps, under=bottom + 8 + 5 * (number % 4), over=8 + 5 * (number % 4))
        right += _label_width(line) + _GAP
    height = max(box.y + box.height for box in boxes.values()) + _MARGIN
    return _page(graph.name, (left, right), height, [*drawn, *(part for box in boxes.values() for part in _drawn(box))])


def _box(node: Node, *, taken: bool, now: bool) -> _Box:
    fill = "#ffd966" if now else "#f3f3f3" if node.ends else "#d9ead3" if node.first else "#eef3fb"
    return _Box(node.name, node_lines(node), fill, dashed=False, taken=taken, now=now)


# --- where everything stands -----------------------------------------------------------------------------------------


def _rows(graph: FlowGraph, boxes: dict[str, _Box]) -> list[list[str]]:
    """Return the phases by their distance from the first; those only reached from every phase stand last."""
    first = next(node.name for node in graph.nodes if node.first)
    rows = [[first]]
    placed = {first}
    while rows[-1]:
        onward = [arrow.to for name in rows[-1] for arrow in graph.arrows if arrow.start == name]
        rows.append([name for name in dict.fromkeys(onward) if name not in placed])
        placed.update(rows[-1])
    rows.pop()
    rest = [name for name in boxes if name not in placed and name != EVERY]
    if EVERY in boxes:
        rows[-1].append(EVERY)
    return [*rows, rest] if rest else rows


def _ordered(rows: list[list[str]], lines: Sequence[Line]) -> list[list[str]]:
    """Order each row by where its neighbours stand, so that few curves cross."""
    for _ in range(_ROUNDS):
        for number in range(1, len(rows)):
            above = {name: at for at, name in enumerate(rows[number - 1])}
            where = {
                name: [above[line.start] for line in lines if line.to == name and line.start in above]
                for name in rows[number]
            }
            middle = {name: sum(at) / len(at) if at else len(above) for name, at in where.items()}
            rows[number].sort(key=lambda name, middle=middle: middle[name])
    return rows


def _place(rows: Sequence[Sequence[str]], boxes: dict[str, _Box], straight: Sequence[Line]) -> None:
    widths = [sum(boxes[name].width for name in row) + _GAP * (len(row) - 1) for row in rows]
    y = float(_MARGIN)
    for row, width in zip(rows, widths, strict=True):
        x = _MARGIN + (max(widths) - width) / 2
        for name in row:
            boxes[name].x, boxes[name].y = x, y
            x += boxes[name].width + _GAP
        words = sum(len(line.words) for line in straight if line.start in row)
        y += max(boxes[name].height for name in row) + 2 * _GAP + words * _LINE


def _sides(boxes: dict[str, _Box], straight: Sequence[Line]) -> tuple[float, float]:
    """Return how far boxes and the labels between them reach to the left and to the right."""
    left, right = 0.0, max(box.x + box.width for box in boxes.values())
    for line in straight:
        middles = [boxes[name].x + boxes[name].width / 2 for name in (line.start, line.to)]
        left = min(left, min(middles) - _label_width(line) / 2 - _MARGIN)
        right = max(right, max(middles) + _label_width(line) / 2)
    return left, right + _GAP


# --- how it is drawn -------------------------------------------------------------------------------------------------


def _curves(lines: Sequence[Line], boxes: dict[str, _Box], steps: AbstractSet[tuple[str, str]]) -> list[str]:
    """Draw the steps out of one row; each label has a height of its own, on its curve."""
    drawn: list[str] = []
    leaving: dict[str, int] = {}
    arriving: dict[str, int] = {}
    bottom = max((boxes[line.start].y + boxes[line.start].height for line in lines), default=0)
    label_y = bottom + _GAP
    for line in lines:
        start, to = boxes[line.start], boxes[line.to]
        out = leaving[line.start] = leaving.get(line.start, 0) + 1
        into = arriving[line.to] = arriving.get(line.to, 0) + 1
        x1 = start.x + start.width * out / (1 + sum(other.start == line.start for other in lines))
        x2 = to.x + to.width * into / (1 + sum(other.to == line.to for other in lines))
        y1, y2 = start.y + start.height, to.y
        middle = (y1 + y2) / 2
        path = f"M{x1:.0f},{y1:.0f} C{x1:.0f},{middle:.0f} {x2:.0f},{middle:.0f} {x2:.0f},{y2:.0f}"
        # A point on the curve at about the height of the label.
        share = (label_y - y1) / (y2 - y1)
        x = x1 + (x2 - x1) * share * share * (3 - 2 * share)
        drawn += [_path(line, path, steps), *_label(line.words, x, label_y, anchor="middle")]
        label_y += len(line.words) * _LINE
    return drawn


def _lane(
    line: Line, boxes: dict[str, _Box], x: float, steps: AbstractSet[tuple[str, str]], *, under: float, over: float
) -> list[str]:
    """Draw a way with a lane of its own: out at the right, below its row at `under`, in by `over` above the target."""
    start, to = boxes[line.start], boxes[line.to]
    y1, y2 = start.y + start.height / 2, to.y + to.height / 2
    if line.start == line.to:
        y1, y2 = start.y + start.height / 3, start.y + start.height * 2 / 3
    x1, x2 = start.x + start.width, to.x + to.width
    path = (
        f"M{x1:.0f},{y1:.0f} h8 V{under:.0f} H{x:.0f} V{to.y - over:.0f} H{x2 + 8:.0f} V{y2:.0f} H{x2:.0f}"
        if line.start != line.to
        else f"M{x1:.0f},{y1:.0f} H{x:.0f} V{y2:.0f} H{x2:.0f}"
    )
    return [_path(line, path, steps), *_label(line.words, x + 5, (under + to.y) / 2, anchor="start")]


def _path(line: Line, path: str, steps: AbstractSet[tuple[str, str]]) -> str:
    ways = {(line.start, line.to)} if line.start != EVERY else {step for step in steps if step[1] == line.to}
    style = "taken" if ways & steps else "unbounded" if line.unbounded else "way"
    dashes = ' stroke-dasharray="5 4"' if line.start == EVERY else ""
    return f'<path class="{style}" d="{path}"{dashes} marker-end="url(#{style}-tip)"/>'


def _label(words: Sequence[str], x: float, y: float, *, anchor: str) -> list[str]:
    texts = [
        f'x="{x:.0f}" y="{y + number * _LINE:.0f}" text-anchor="{anchor}">{escape(text)}</text>'
        for number, text in enumerate(words)
    ]
    # Once as a white edge around the letters, once as the letters: lines behind them stay legible.
    return [f'<text class="edge" {text}' for text in texts] + [f"<text {text}" for text in texts]


def _label_width(line: Line) -> float:
    return max(len(text) for text in line.words) * _LETTER


def _drawn(box: _Box) -> list[str]:
    dashes = ' stroke-dasharray="5 4"' if box.dashed else ""
    thick = ' stroke-width="3"' if box.taken else ""
    rounded = 4 if box.dashed else 8
    place = f'x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" height="{box.height:.0f}" rx="{rounded}"'
    lit = f'class="now" data-phase="{escape(box.name)}" ' if box.now else ""
    parts = [f'<rect {lit}{place} fill="{box.fill}" stroke="#4a6fa5"{thick}{dashes}/>']
    for number, text in enumerate(box.words):
        weight = ' font-weight="bold"' if number == 0 else ""
        x, y = box.x + box.width / 2, box.y + 19 + number * _LINE
        parts.append(f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle"{weight}>{escape(text)}</text>')
    return parts


def _page(name: str, sides: tuple[float, float], height: float, parts: Sequence[str]) -> str:
    tips = "".join(
        f'<marker id="{style}-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="{colour}"/></marker>'
        for style, colour in (("way", "#555555"), ("unbounded", "#c2571a"), ("taken", "#1f6fb2"))
    )
    style = (
        "text{font:11px monospace;fill:#1c2733}"
        ".edge{stroke:#ffffff;stroke-width:4px}"
        ".way{fill:none;stroke:#555555}"
        ".unbounded{fill:none;stroke:#c2571a;stroke-width:2.5}"
        ".taken{fill:none;stroke:#1f6fb2;stroke-width:3}"
    )
    left, width = sides[0], sides[1] - sides[0]
    size = f'viewBox="{left:.0f} 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
            f"<title>{escape(name)}</title>",
            f"<defs>{tips}<style>{style}</style></defs>",
            f'<rect x="{left:.0f}" width="100%" height="100%" fill="#ffffff"/>',
            *parts,
            "</svg>",
            "",
        ]
    )
