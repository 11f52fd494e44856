"""`auditor serve STORE`: reviews, changes and waves over a store of snapshots, in a browser on this machine."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from auditor.cli import common

_EPILOG = """\
examples:
  auditor serve snapshots/                              every snapshot below it, newest first
  auditor serve snapshots/ --wave week-49.txt --wave week-50.txt
  auditor serve estate/ --port 8080

It listens on this machine alone, writes nothing but what --cache-dir keeps, and opens no connection. Each snapshot is
judged as of the time at which it was made. End it with Ctrl-C.
"""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "serve",
        help="walk through snapshots, changes and waves in a browser",
        description="Serves the page of `auditor report` over a store of snapshots, with what changed between them and "
        "the migration waves that are given.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("store", metavar="STORE", type=Path, help="a directory of snapshots, or one snapshot or estate")
    parser.add_argument(
        "--wave", metavar="HOSTS.txt", type=Path, action="append", default=[], help="a wave, as for `auditor wave`"
    )
    parser.add_argument("--address", default="127.0.0.1", help="127.0.0.1 or ::1 (default: 127.0.0.1)")
    parser.add_argument("--port", type=common.count, default=0, help="the port (default: any free one)")
    parser.add_argument(
        "--now", metavar="TIME", type=common.moment, help="judge all as of this time (default: of each snapshot)"
    )
    common.cache_option(parser)
    common.rule_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serves until it is interrupted."""
    from auditor.serve.app import App, server_of
    from auditor.serve.store import open_store

    open_store(arguments.store, arguments.wave)
    common.fewer_collections()
    cache = arguments.cache_dir
    if cache is not None:
        common.outside(cache, arguments.store)
    rules = partial(common.all_rules, arguments.rules)
    app = App(arguments.store, arguments.wave, rules, arguments.now, cache, common.caching)
    with server_of(app, arguments.address, arguments.port) as server:
        shown = f"[{arguments.address}]" if ":" in arguments.address else arguments.address
        print(f"http://{shown}:{server.server_address[1]}/", flush=True)
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            return 0
    return 0
