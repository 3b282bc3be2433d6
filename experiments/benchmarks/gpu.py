"""One table of a GPU, within nine minutes: training, evaluation, re-ranking, compilation.

python -m experiments.benchmarks.gpu --output=gpu.json
python -m experiments.benchmarks.gpu --only=pfanet --output=pfanet.json
python -m experiments.benchmarks.gpu --tiny --output=tiny.json

Training is each method's step of its own batch at SYSU-MM01's scale, in bfloat16 and float32, from
random weights, and ResNet-50 beside `torch.compile`, where PyTorch is installed. Evaluation and
re-ranking are of random features of SYSU-MM01's and Market-1501's sizes. PFANet is compiled without
XLA's autotuning first, and at the end, in the time that is left, with it.

Each part is a process of its own, so that a part that fails, crashes or takes too long is a row of
the table and not the end. First as many processes as there are cores compile side by side; then one
after the other measures, while no other one computes. The processes that wait keep their contexts
of the device, but no step's arrays: those are made when a part is measured.

--budget bounds the time. A part that has not compiled after 0.6 of it is given up, so that the
others are measured on an idle machine. When it ends, the part that is being measured is ended, too.
Each part that was given up, or that was not reached, is a row that says so.

With --tiny, small parts run on any device, CPUs too: a test of this script.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from experiments.benchmarks.gpu_parts import Part, Row, all_parts, last_parts
from jreid.files import write_text
from jreid.process import cores
from jreid.versions import PACKAGES, installed

READY = "ready"
BUDGET = 510.0  # seconds
PREPARING = 0.6  # of the budget, at most, until the first part is measured
COLUMNS = ("images_per_second", "seconds", "of_peer", "compiled_in", "tflops", "memory", "note")


class Running(NamedTuple):
    """A part's process, our end of its pipe, and when it was started."""

    part: Part
    process: Any
    connection: Connection
    start: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, and writes it as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="the JSON file")
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds (default: 510)")
    parser.add_argument("--only", default="", help="parts with this text in their name or group")
    parser.add_argument("--tiny", action="store_true", help="small parts, on any device")
    options = parser.parse_args(arguments)
    # All processes share the device's memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    start = time.monotonic()
    end = start + options.budget
    parts, last = (
        [part for part in some if options.only in f"{part.group} {part.name}"]
        for some in (all_parts(options.tiny), last_parts(options.tiny))
    )
    if not parts + last:
        parser.error(f"--only={options.only} is in no part's name or group.")
    rows = run(parts, start + PREPARING * options.budget, end) + run(last, end, end)
    rows = with_ratios(rows, {part.name: part.peer for part in parts})
    content = {
        "device": _device(),
        "packages": installed(PACKAGES),
        "seconds": round(time.monotonic() - start),
        "rows": [row._asdict() for row in rows],
    }
    print(f"{content['device']}, {content['seconds']} s\n\n{table(rows)}")
    write_text(options.output, json.dumps(content, indent=2) + "\n")


def _device() -> str:
    import jax

    try:
        return jax.devices()[0].device_kind
    except RuntimeError as error:
        return _first_line(error)


def run(parts: Sequence[Part], ready_by: float, end: float) -> list[Row]:
    """The rows of the parts, in their order.

    Args:
        ready_by: when the parts that are not prepared are given up, as `time.monotonic()`.
        end: when the parts that are not measured are.
    """
    skipped = "skipped: no time was left"
    rows = {part.name: Row(part.group, part.name, note=skipped) for part in parts}
    started: list[Running] = []
    try:
        ready = []
        for running, answer in _prepared(parts, started, ready_by):
            if answer == READY:
                ready.append(running)
            else:
                rows[running.part.name] = answer
                _end(running)
        for running in sorted(ready, key=lambda running: parts.index(running.part)):
            rows[running.part.name] = _measured(running, end)
            _end(running)
    finally:
        for running in started:
            _end(running)
    return [*rows.values()]


def _prepared(
    parts: Sequence[Part], started: list[Running], ready_by: float
) -> Iterator[tuple[Running, Any]]:
    """Starts the parts, of which as many work at once as there are cores; each with its answer.

    The answer is `READY`, or the row of a part that failed or is not ready in time.
    """
    todo, working = list(parts), list[Running]()
    while (todo or working) and time.monotonic() < ready_by:
        while todo and len(working) < len(cores()):
            working.append(_start(todo.pop(0)))
            started.append(working[-1])
        left = max(0.0, ready_by - time.monotonic())
        answered = wait([running.connection for running in working], left)
        for running in [running for running in working if running.connection in answered]:
            working.remove(running)
            yield running, _answer(running, ready_by)
    for running in working:
        seconds = time.monotonic() - running.start
        yield running, Row(*running.part[:2], note=f"not compiled after {seconds:.0f} s")


def _start(part: Part) -> Running:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(part, theirs))
    process.start()
    theirs.close()
    return Running(part, process, ours, time.monotonic())


def _measured(running: Running, end: float) -> Row:
    if time.monotonic() < end:
        with contextlib.suppress(BrokenPipeError):  # the answer says why
            running.connection.send("measure")
    return _answer(running, end)


def work(part: Part, connection: Connection) -> None:
    """The process of a part: prepares, says so, waits for its turn, and measures."""
    from jreid.process import configure

    configure(compilation_cache=False)
    try:
        measure = part.prepare(*part.arguments)
        connection.send(READY)
        connection.recv()
        connection.send(Row(*part[:2], **measure()))
    except Exception as error:
        connection.send(Row(*part[:2], note=_first_line(error)))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:200]


def _answer(running: Running, end: float) -> Any:
    """What a part's process says next; a row if it says nothing until the end, or has ended."""
    name = running.part[:2]
    if not running.connection.poll(max(0.0, end - time.monotonic())):
        return Row(*name, note="not measured: no time was left")
    try:
        return running.connection.recv()
    except EOFError:
        running.process.join()
        return Row(*name, note=f"its process ended with status {running.process.exitcode}")


def _end(running: Running) -> None:
    running.process.kill()
    running.process.join()


def with_ratios(rows: Sequence[Row], peers: Mapping[str, str]) -> list[Row]:
    """The rows with their speed in units of their peer's, where both were measured."""
    speeds = {row.name: row.speed() for row in rows}
    result = []
    for row in rows:
        ours, theirs = row.speed(), speeds.get(peers.get(row.name, ""))
        result.append(row._replace(of_peer=ours / theirs) if ours and theirs else row)
    return result


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown."""
    head = ("part", "what", *(column.replace("_", " ") for column in COLUMNS))
    lines = [head, ["---"] * len(head)]
    lines += [
        (row.group, row.name, *(_cell(getattr(row, name)) for name in COLUMNS)) for row in rows
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: float | str | None) -> str:
    if value is None:
        return ""
    return value.replace("|", "/") if isinstance(value, str) else f"{value:,.4g}"


if __name__ == "__main__":
    main()
