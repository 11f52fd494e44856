"""How large a page is and how fast it opens: an estate of some hundred hosts, its page, and Chromium.

    python -m benchmarks.page [--hosts 220] [--runs 5]

The estate is that of `benchmarks.fleet`. Times are the browser's own, from the start of the navigation to
DOMContentLoaded and to the moment in which the graph can be used. Beside it: the same graph all drawn at once by
cytoscape, with its layout for directed graphs. Needs Debian's Chromium, and Playwright.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.fleet import make

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()
OPENED = """() => {
  const page = performance.getEntriesByType("navigation")[0];
  const data = JSON.parse(document.getElementById("graph-data").textContent);
  return {
    loaded: page.domContentLoadedEventEnd,
    graph: performance.getEntriesByName("graph-interactive")[0].startTime,
    paint: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0,
    nodes: data.nodes.length, edges: data.edges.length, total: data.total[0],
    drawn: Number(document.getElementById("graph-canvas").dataset.nodes),
  };
}"""
EVERYTHING = """() => {
  const data = JSON.parse(document.getElementById("graph-data").textContent);
  const room = document.createElement("div");
  room.style.cssText = "position:fixed;inset:0";
  document.body.append(room);
  const started = performance.now();
  cytoscape({
    container: room,
    elements: [
      ...data.nodes.map((node, at) => ({ data: { id: `n${at}` } })),
      ...data.edges.map((edge, at) => ({ data: { id: `e${at}`, source: `n${edge[0]}`, target: `n${edge[1]}` } })),
    ],
    layout: { name: "breadthfirst", directed: true, animate: false },
  });
  return performance.now() - started;
}"""


def main() -> None:
    """Prints a table."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, default=220)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as running:
        estate, target = Path(folder) / "estate", Path(folder) / "page.html"
        estate.mkdir()
        make(estate, arguments.hosts)
        words = [sys.executable, "-m", "auditor.cli.main", "report", "-q", "--estate", str(estate), "-o", str(target)]
        started = time.perf_counter()
        subprocess.run([*words, "--now", "2026-01-01T00:00:00Z"], check=False)
        seconds = time.perf_counter() - started
        browser = running.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        found = []
        for _ in range(arguments.runs):
            page = browser.new_page(viewport={"width": 1360, "height": 900})
            page.goto(target.as_uri())
            page.locator("#graph-canvas[data-ready=true]").wait_for()
            found.append(page.evaluate(OPENED))
            page.close()
        page = browser.new_page(viewport={"width": 1360, "height": 900})
        page.goto(target.as_uri())
        hairball = page.evaluate(EVERYTHING)
        browser.close()
        first = found[0]
        print(f"{first['nodes']:,} of {first['total']:,} nodes and {first['edges']:,} dependencies in the page\n")
        print("| | |\n|---|---|")
        print(f"| file | {target.stat().st_size / 1e6:.2f} MB |")
        print(f"| `auditor report`, whole process | {seconds:.1f} s |")
        for name, said in (("paint", "first paint"), ("loaded", "DOMContentLoaded"), ("graph", "graph can be used")):
            times = [one[name] for one in found]
            print(f"| {said} | {statistics.median(times):,.0f} ms ({min(times):,.0f} to {max(times):,.0f}) |")
        print(f"| nodes drawn at first | {first['drawn']} |")
        print(f"| all of it drawn by cytoscape's `breadthfirst` | {hairball:,.0f} ms |")


if __name__ == "__main__":
    main()
