"""A flow can be drawn: grants, prefetches and loops without a bound are in the picture, and the README's is true."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from voiceagent.cli.commands import app
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.facts import Facts
from voiceagent.spec.flow import Flow
from voiceagent.spec.graph import EVERY, Arrow, FlowGraph, as_dot, as_json, as_mermaid, flow_graph
from voiceagent.spec.graph_svg import as_svg
from voiceagent.spec.guided import GuidedDialogue
from voiceagent.spec.phase import HangUpAfter, Phase, Requested, Silent, TransferTo, Transition
from voiceagent.spec.prefetch import Prefetch
from voiceagent.spec.tool import tool

ROOT = Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"


class LibraryFacts(Facts):
    recognised: bool = False
    tries: int = 0


@tool(grants="loans", grants_when="recognised", sets=("recognised", "tries"))
async def check_card(card: str) -> dict[str, object]:
    """Check a reader's card."""
    return {}


@tool(requires="loans")
async def list_loans() -> list[object]:
    """The books on loan."""
    return []


def move(name: str, to: str, **more: object) -> Transition:
    return Transition.model_validate({"on": Requested(name=name, description="They want it."), "to": to, **more})


def library() -> Flow:
    """A door, two rooms that lead to each other, a guarded way back, and two ends."""
    into = Transition(on=check_card, to="hall", when={"recognised": True}, prefetch=(Prefetch(tool=list_loans),))
    return Flow(
        name="library",
        initial="door",
        facts=LibraryFacts,
        phases=(
            Phase(name="door", guided=GuidedDialogue(), sensitive=True, tools=(check_card,), transitions=(into,)),
            Phase(name="hall", guided=GuidedDialogue(), tools=(list_loans,), transitions=(move("read", "room"),)),
            Phase(
                name="room",
                guided=GuidedDialogue(),
                transitions=(
                    move("return", "hall"),
                    move("leave", "door", when={"any_of": [{"tries": {"lt": 3}}, {"recognised": False}]}),
                ),
            ),
            Phase(name="desk", ends=TransferTo(target="clerk")),
            Phase(name="end", ends=HangUpAfter()),
        ),
        transitions=(move("help", "desk"), Transition(on=Silent(), to="end")),
    )


def arrow(graph: FlowGraph, trigger: str) -> Arrow:
    return next(arrow for arrow in graph.arrows if arrow.trigger == trigger)


def test_an_arrow_shows_the_right_that_it_gives_and_what_is_fetched_on_it() -> None:
    graph = flow_graph(library())
    into = arrow(graph, "check_card")
    assert (into.start, into.to, into.guard) == ("door", "hall", "recognised")
    assert (into.grants, into.prefetch) == (("loans",), ("list_loans",))
    assert arrow(graph, "help").start == EVERY
    assert arrow(graph, "leave").guard == "tries < 3 or not recognised"


def test_a_loop_that_no_guard_bounds_is_marked_and_another_is_not() -> None:
    graph = flow_graph(library())
    assert graph.loops == (("hall", "room"),)
    assert [arrow.trigger for arrow in graph.arrows if arrow.unbounded] == ["read", "return"]


def test_a_transition_of_every_phase_can_close_a_loop() -> None:
    flow = library()
    again = move("again", "door")
    graph = flow_graph(flow.model_copy(update={"transitions": (*flow.transitions, again)}))
    assert arrow(graph, "again").unbounded
    assert not arrow(graph, "help").unbounded


def test_the_mermaid_diagram_says_it_all() -> None:
    drawn = as_mermaid(flow_graph(library()))
    assert '    p_door["door<br/>check_card<br/>nothing is recorded"]:::first\n' in drawn
    assert '    p_desk(["desk<br/>transfers to clerk"]):::ends\n' in drawn
    assert '    p_door -->|"check_card if recognised<br/>grants loans<br/>fetches list_loans"| p_hall\n' in drawn
    assert '    p_room -->|"leave if tries #lt; 3 or not recognised"| p_door\n' in drawn
    assert '    every_phase -.->|"silence"| p_end\n' in drawn
    assert "    linkStyle 1,2 stroke:#c2571a,stroke-width:3px\n" in drawn


def test_names_and_values_that_mean_something_to_mermaid_are_drawn_as_they_are() -> None:
    flow = library()
    odd = move("end", "end", when={"tries": {"in": ["<b>", "#1"]}})
    drawn = as_mermaid(flow_graph(flow.model_copy(update={"transitions": (odd,)})))
    assert '    p_end(["end<br/>hangs up"]):::ends\n' in drawn
    assert '|"end if tries in [#quot;#lt;b#gt;#quot;, #quot;#35;1#quot;]"| p_end\n' in drawn


def test_the_json_has_every_field() -> None:
    graph = flow_graph(library())
    written = json.loads(as_json(graph))
    assert [node["name"] for node in written["nodes"]] == ["door", "hall", "room", "desk", "end"]
    assert written["arrows"][0]["grants"] == ["loans"]
    assert written["loops"] == [["hall", "room"]]


def test_the_dot_graph_is_what_graphviz_takes() -> None:
    drawn = as_dot(flow_graph(library()))
    assert drawn.startswith('digraph "library" {\n')
    assert '"hall" -> "room" [label="read\\n(no bound)", color="#c2571a", penwidth=3];' in drawn
    dot = shutil.which("dot")
    if dot is not None:
        subprocess.run([dot, "-Tsvg"], input=drawn, text=True, check=True, capture_output=True, timeout=20)  # noqa: S603 - Graphviz


# --- the picture -----------------------------------------------------------------------------------------------------


def boxes(svg: str) -> list[tuple[float, float, float, float]]:
    """Return left, top, right and bottom of every box but the page."""
    page = ET.fromstring(svg)  # noqa: S314 - our own
    found = [rect.attrib for rect in page.iter(f"{SVG}rect") if "rx" in rect.attrib]
    corners = [[float(box[side]) for side in ("x", "y", "width", "height")] for box in found]
    return [(x, y, x + width, y + height) for x, y, width, height in corners]


def texts(svg: str) -> list[str]:
    return ["".join(text.itertext()) for text in ET.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314 - our own


def test_the_picture_has_a_box_for_every_phase_and_the_words_on_every_way() -> None:
    svg = as_svg(flow_graph(library()))
    assert len(boxes(svg)) == 6  # with the one that stands for every phase
    for words in ("door", "grants loans", "fetches list_loans", "leave if tries < 3 or not recognised", "(no bound)"):
        assert words in texts(svg)
    assert svg.count('class="unbounded"') == 2


def test_the_way_of_a_call_is_drawn_thicker_where_it_went() -> None:
    svg = as_svg(flow_graph(library()), taken=["door", "hall", "room", "desk"])
    assert svg.count('class="taken"') == 3  # the last one leads from every phase
    assert svg.count('stroke-width="3"/>') == 4
    assert 'class="taken"' not in as_svg(flow_graph(library()))


@st.composite
def some_flows(draw: st.DrawFn) -> Flow:
    count = draw(st.integers(1, 7))
    names = [f"phase_{number}" for number in range(count)]
    targets = st.sampled_from([*names, "end"])
    phases = [
        Phase(
            name=name,
            guided=GuidedDialogue(),
            transitions=tuple(move(f"go_{to}", to) for to in draw(st.lists(targets, max_size=3, unique=True))),
        )
        for name in names
    ]
    everywhere = tuple(move(f"all_{to}", to) for to in draw(st.lists(targets, max_size=2, unique=True)))
    end = Phase(name="end", ends=HangUpAfter())
    return Flow(name="some", initial=names[0], phases=(*phases, end), transitions=everywhere)


@settings(deadline=None)
@given(some_flows())
def test_no_two_boxes_lie_on_each_other_and_everything_is_on_the_page(flow: Flow) -> None:
    svg = as_svg(flow_graph(flow))
    left, top, width, height = map(float, ET.fromstring(svg).attrib["viewBox"].split())  # noqa: S314 - our own
    drawn = boxes(svg)
    for number, (x1, y1, x2, y2) in enumerate(drawn):
        assert left <= x1 < x2 <= left + width
        assert top <= y1 < y2 <= top + height
        assert all(x2 < a1 or a2 < x1 or y2 < b1 or b2 < y1 for a1, b1, a2, b2 in drawn[number + 1 :])


@settings(deadline=None)
@given(some_flows())
def test_every_flow_can_be_drawn_in_every_way_twice_alike(flow: Flow) -> None:
    for draw in (as_mermaid, as_dot, as_json, as_svg):
        assert draw(flow_graph(flow)) == draw(flow_graph(flow))


# --- the command, and the README -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "beginning"), [("mermaid", "flowchart TD"), ("dot", "digraph"), ("svg", "<svg"), ("json", "{")]
)
def test_the_command_prints_each_format(form: str, beginning: str) -> None:
    done = CliRunner().invoke(app, ["graph", str(ROOT / "phases" / "bank"), "--format", form])
    assert done.exit_code == 0
    assert done.output.startswith(beginning)


def test_an_unknown_agent_is_a_mistake_in_the_command() -> None:
    done = CliRunner().invoke(app, ["graph", "no_such_agent"])
    assert done.exit_code == 2
    assert "there is no agent 'no_such_agent'" in done.stderr


def test_the_diagram_in_the_readme_is_that_of_the_bank() -> None:
    found = re.search(r"```mermaid\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert found, "the README has no diagram"
    assert found[1] == as_mermaid(flow_graph(load_flow(ROOT / "phases" / "bank"))), "print it: voiceagent graph bank"
