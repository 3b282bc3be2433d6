"""Counts the faults that jreid survives, as the last line of a run of the tests.

A test that injects a fault is marked `@pytest.mark.fault("F06")`, wherever it lies. A fault is
survived if tests of it passed and none failed, as expected or not.
"""

from collections import defaultdict


def pytest_itemcollected(item):
    # As a property, since that is what pytest-xdist's workers hand on.
    for mark in item.iter_markers("fault"):
        item.user_properties.extend(("fault", fault) for fault in mark.args)


def pytest_terminal_summary(terminalreporter):
    outcomes = defaultdict(set)
    for outcome in ("passed", "failed", "xfailed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, fault in getattr(
                report, "user_properties", ()
            ):  # not where a file does not import
                if name == "fault":
                    outcomes[fault].add(outcome)
    if outcomes:
        lost = [fault for fault in sorted(outcomes) if not _survived(outcomes[fault])]
        message = f"faults survived: {len(outcomes) - len(lost)} of {len(outcomes)}"
        terminalreporter.write_line(f"{message}; not: {', '.join(lost)}" if lost else message)


def _survived(outcomes):
    return "passed" in outcomes and not outcomes & {"failed", "xfailed", "error"}
