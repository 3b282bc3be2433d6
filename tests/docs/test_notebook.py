"""The notebook is made from a script, and the script runs.

After a change of examples/quickstart.py, write the notebook anew:

jupytext --to ipynb examples/quickstart.py
"""

import json

import jupytext
import pytest
from helpers.paths import ROOT

SCRIPT = ROOT / "examples" / "quickstart.py"
NOTEBOOK = SCRIPT.with_suffix(".ipynb")


def test_the_notebook_is_that_of_the_script():
    made = jupytext.reads(SCRIPT.read_text(), fmt="py:percent")
    kept = json.loads(NOTEBOOK.read_text())

    def cells(notebook):
        return [(one["cell_type"], "".join(one["source"])) for one in notebook["cells"]]

    assert cells(kept) == cells(made)
    assert not any(cell.get("outputs") for cell in kept["cells"])


@pytest.mark.slow
def test_the_script_runs_at_the_tiny_scale(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = SCRIPT.read_text()
    assert 'SCALE = "synthetic"' in text
    exec(compile(text.replace('SCALE = "synthetic"', 'SCALE = "tiny"'), SCRIPT, "exec"), {})
    assert (tmp_path / "runs" / "notebook_tiny" / "result.json").is_file()
