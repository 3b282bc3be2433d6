"""What is printed beside the quickstart's result."""

import pytest

from jreid import config as configs
from jreid.commands.results import QUICKSTART, print_rows

NUMBERS = {"cmc": {"1": 0.3885, "10": 0.9}, "mAP": 0.4, "mINP": 0.3}
ROW = {
    "label": "all, 1-shot",
    "rerank": "none",
    "fingerprint": QUICKSTART,
    **NUMBERS,
    "std": NUMBERS,
    "trials": 10,
    "of_trials": 10,
    "queries": 9,
    "valid_queries": 9,
}


@pytest.mark.parametrize(
    ("flags", "changes", "part"),
    [
        ([], {}, "38.85 is inside"),
        ([], {"cmc": {"1": 0.1, "10": 0.9}}, "10.00 is outside"),
        (["--config.epochs=8"], {}, None),
        ([], {"fingerprint": "other"}, None),
    ],
)
def test_the_quickstart_alone_has_an_expected_range(flags, changes, part, capsys):
    print_rows(configs.load("agw:synthetic", flags), [{**ROW, **changes}])
    out = capsys.readouterr().out
    assert (part in " ".join(out.split())) if part else ("Expected" not in out)
