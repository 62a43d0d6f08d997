"""Run the benchmarks and print a table; JSON goes to bench-results/. `make bench ARGS="deliver"` runs one part.

Servers are the tests' own; traffic stays on this machine. Absolute times drift on shared machines: compare the ratios.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

RESULTS = Path(__file__).resolve().parent.parent.parent / "bench-results"


def main() -> int:
    wanted = sys.argv[1:]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cohortsync.settings")
    with ExitStack() as running:
        from tests.servers import set_up

        # Commits as durable as in production.
        set_up(running, postgres_settings={})
        parts = _parts()
        unknown = sorted(set(wanted) - set(parts))
        if unknown:
            print(f"No part {unknown[0]!r}; there are: {', '.join(parts)}.")
            return 2
        for name in wanted or list(parts):
            figures = {"machine": f"{os.cpu_count()} cores, Python {platform.python_version()}", **parts[name]()}
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")
            print(f"\n{name}")
            for label, value in figures.items():
                print(f"  {label:44} {value}")
    return 0


def _parts() -> dict[str, Callable[[], dict[str, object]]]:
    """Return the parts by name, with Django set up and a database of the benchmarks' own."""
    import django
    from django.test.utils import setup_databases

    django.setup()
    setup_databases(verbosity=0, interactive=False)
    from tests.benchmarks.deliver import measure_delivery
    from tests.benchmarks.ingest import measure_ingestion

    return {"ingest": measure_ingestion, "deliver": measure_delivery}


if __name__ == "__main__":
    sys.exit(main())
