"""One self-contained HTML file for a review: plain values in, text out. It loads nothing, and nothing in it is run but
its own scripts."""

from __future__ import annotations

from auditor.page.document import Section, render_graph, render_page
from auditor.page.model import Review

__all__ = ["Review", "Section", "render_graph", "render_page"]
