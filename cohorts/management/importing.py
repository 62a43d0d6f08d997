"""What the commands `import_events` and `import_profiles` have in common: options, progress bar, report, exit code."""

from __future__ import annotations

import csv
import time
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, OutputWrapper
from tqdm import tqdm

from cohorts.files import FileRefused, RefusedLine, SourceFile, inspect
from cohorts.imports import Tally, Watcher
from cohorts.models import Project

_REFUSALS_ON_SCREEN = 10

VALUES_HELP = (
    "CSV cells become numbers and booleans where they are written as such (12, -0.5, true, FALSE); the rest is text, "
    "numbers with leading zeros or more than 15 digits included. Empty cells are left out. The exit code is 1 when "
    "nothing could be imported, or with --strict when any line was refused, else 0."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options that both commands take."""
    parser.add_argument("file", type=Path, help=".csv with a header line, or .ndjson; either may end in .gz")
    parser.add_argument("--project", type=int, required=True, metavar="ID")
    parser.add_argument("--distinct-id", required=True, metavar="COLUMN", help="the column with the person's id")
    parser.add_argument(
        "--text-column",
        action="append",
        default=[],
        metavar="COLUMN",
        help="keep the cells of this CSV column as text; may be given several times",
    )
    parser.add_argument("--dry-run", action="store_true", help="read and check everything, store nothing")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write every refused line to this CSV file")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when any line was refused")


def project_of(options: dict[str, Any]) -> Project:
    """Return the project of `--project`. Raises CommandError, naming those there are."""
    project = Project.objects.filter(pk=options["project"]).first()
    if project is None:
        known = ", ".join(
            f"{pk} ({name})" for pk, name in Project.objects.order_by("pk").values_list("pk", "name")[:20]
        )
        raise CommandError(
            f"There is no project {options['project']}. "
            + (f"There are: {known}." if known else "There are none yet: make one with `manage.py bootstrap`.")
        )
    return project


def inspected(options: dict[str, Any], *columns: str) -> SourceFile:
    """Return the file, checked for these columns. Raises CommandError."""
    try:
        source = inspect(options["file"])
        for column in (*columns, *options["text_column"]):
            if column:
                source.check_column(column)
    except FileRefused as error:
        raise CommandError(str(error)) from error
    return source


def run_import(
    run: Callable[[Watcher], Tally], *, source: SourceFile, options: dict[str, Any], noun: str, out: OutputWrapper
) -> None:
    """Run an import, show how it goes and what became of the lines. Raises CommandError for exit code 1."""
    started = time.monotonic()
    with ExitStack() as stack:
        report = None
        if options["report"] is not None:
            report = csv.writer(stack.enter_context(options["report"].open("w", newline="", encoding="utf-8")))
            report.writerow(["line", "reason", "text"])
        # No bar unless standard error is a terminal.
        bar = stack.enter_context(tqdm(total=source.size_bytes, unit="B", unit_scale=True, disable=None, leave=False))
        shown = 0

        def show(line: RefusedLine) -> None:
            nonlocal shown
            shown += 1
            if report:
                report.writerow([line.number, line.reason, line.text])
            if shown <= _REFUSALS_ON_SCREEN:
                bar.clear()
                out.write(f"line {line.number}: {line.reason}")

        def advance(bytes_read: int) -> None:
            bar.update(bytes_read - bar.n)

        try:
            tally = run(Watcher(on_refused=show, on_progress=advance))
        except FileRefused as error:
            raise CommandError(f"{error} Lines before it are imported; a repetition adds nothing twice.") from error
    _conclude(tally, seconds=time.monotonic() - started, options=options, noun=noun, out=out)


def _conclude(tally: Tally, *, seconds: float, options: dict[str, Any], noun: str, out: OutputWrapper) -> None:
    if tally.refused > _REFUSALS_ON_SCREEN:
        where = f"all are in {options['report']}" if options["report"] else "--report FILE lists all"
        out.write(f"... and {tally.refused - _REFUSALS_ON_SCREEN:,} more refused lines; {where}.")
    if options["dry_run"]:
        became = f"{tally.lines - tally.refused:,} can be imported, {tally.refused:,} refused; nothing was stored"
    else:
        became = (
            f"{tally.added:,} {noun} added, {tally.changed:,} changed, {tally.unchanged:,} there already, "
            f"{tally.refused:,} refused"
        )
    rate = tally.lines / seconds if seconds else 0
    out.write(f"{tally.lines:,} lines: {became}. {seconds:.1f} s, {rate:,.0f} lines/s.")
    if tally.lines == tally.refused:
        raise CommandError("Nothing could be imported." if tally.lines else "The file holds no lines to import.")
    if options["strict"] and tally.refused:
        raise CommandError(f"{tally.refused:,} lines were refused, and --strict was given.")
