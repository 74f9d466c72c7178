"""Drawings as part of the page, so that they follow its colours.

``{drawing} name.svg`` puts ``docs/drawings/name.svg`` there. The options are ``:alt:`` and
``:width:``, the least width in pixels.
"""

from html import escape
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive, directives

FOLDER = Path(__file__).parents[1] / "drawings"


class Drawing(Directive):
    """The directive."""

    required_arguments = 1
    option_spec = {"alt": directives.unchanged_required, "width": directives.nonnegative_int}

    def run(self):
        """Put the drawing into a frame."""
        path = FOLDER / self.arguments[0]
        self.state.document.settings.env.note_dependency(str(path))
        label = escape(self.options["alt"])
        svg = path.read_text(encoding="utf-8")
        svg = svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
        width = self.options.get("width", 640)
        frame = (
            f'<div class="drawing" tabindex="0"><div style="min-width:{width}px">{svg}</div></div>'
        )
        return [nodes.raw("", frame, format="html")]


def setup(app):
    """Register the directive."""
    app.add_directive("drawing", Drawing)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
