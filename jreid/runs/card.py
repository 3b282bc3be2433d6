"""The card of a bundle: a README.md with a front matter that model hubs read."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jreid import markdown
from jreid.evaluation.results.marks import marks
from jreid.methods import Config

TASK = "image-feature-extraction"  # the hubs' name of what the model does
CARD = """---
{front_matter}
---

# {name}

{method} for visible-infrared person re-identification, trained on {dataset} with jreid {version}.
It embeds images of people, visible and infrared, scaled to {size}. This is {checkpoint}.

```python
import jreid

model = jreid.load("FOLDER")  # or "hf:OWNER/NAME@REVISION"
features = model.embed("photos", modality="visible")  # [N, D] float32
hits = model.search("query.png", "photos", top=10)
```

## Results

{results}

## Files

`model.safetensors` holds the weights, `config.json` the config, `run.json` where the model comes
from, and `SHA256SUMS` the SHA-256 of every file, which `jreid.load` checks. There is no optimizer
state.

{trust}License of the weights: {license}.
"""
NO_RESULTS = "`jreid evaluate` has not evaluated this checkpoint."
ABOUT_RESULTS = """Test split, in percent. You may compare two numbers if their fingerprints are
equal: a fingerprint identifies the protocol, the re-ranking, and every query and gallery image.
"""
MARKED = """
A row with a mark is not quite what its protocol asks for. Hubs do not list it."""
OUTSIDE = """The config names code outside of jreid ({names}): install it, read it, and load the
model by `jreid.load("FOLDER", trust_code=True)`.

"""


def card(
    config: Config,
    checkpoint: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    license: str,
    version: str,
    outside: Sequence[str],
) -> str:
    """The text of a card.

    Args:
        config: of the model.
        checkpoint: the fields of a result row on the checkpoint.
        rows: the checkpoint's result rows.
        license: of the weights, as hubs name it, such as `cc-by-nc-4.0`.
        version: of jreid.
        outside: the names of code outside of jreid in the config.
    """
    name = re.sub(r"[^\w.]+", "-", f"{config.method}-{config.data.name}")
    height, width = config.image.size
    kinds = {"last": "the last checkpoint", "best": "the best checkpoint on validation identities"}
    return CARD.format(
        front_matter="\n".join(_front_matter(config, name, rows, license)),
        name=name,
        method=config.method,
        dataset=config.data.name,
        version=version,
        size=f"{height} x {width} pixels",
        checkpoint=f"{kinds[checkpoint['checkpoint']]}, step {checkpoint['step']}",
        results=_table(rows) if rows else NO_RESULTS,
        trust=OUTSIDE.format(names=", ".join(outside)) if outside else "",
        license=license,
    )


def _front_matter(
    config: Config, name: str, rows: Sequence[Mapping[str, Any]], license: str
) -> list[str]:
    """YAML, whose values are written as JSON, which YAML includes."""
    fields = {
        "license": license,
        "library_name": "jreid",
        "pipeline_tag": TASK,
        "tags": ["person-re-identification", "visible-infrared", "jax", "flax", config.method],
    }
    plain = [_result(row, config.data.name) for row in rows if not _marks(row)]
    if plain:  # readers of a hub's lists would not see a mark
        fields["model-index"] = [{"name": name, "results": plain}]
    return [f"{field}: {json.dumps(value)}" for field, value in fields.items()]


def _marks(row: Mapping[str, Any]) -> list[str]:
    """The row's marks, and whether it is of fewer trials than the dataset asks for."""
    trials, of_trials = row.get("trials"), row.get("of_trials")
    return marks(row) + ([f"{trials} of {of_trials} trials"] if trials != of_trials else [])


def _result(row: Mapping[str, Any], data: str) -> dict[str, Any]:
    """A row in the form of hubs; `data` is the dataset's name."""
    values = {"rank-1": row["cmc"]["1"], "mAP": row["mAP"], "mINP": row["mINP"]}
    rule = f"{row['label']}, re-ranking {row['rerank']}, fingerprint {row['fingerprint']}"
    dataset = {"type": data, "name": f"{data}, {rule}", "split": "test"}
    return {
        "task": {"type": TASK, "name": "Visible-infrared person re-identification"},
        "dataset": dataset,
        "metrics": [
            {"type": metric, "name": metric, "value": round(100 * value, 2)}
            for metric, value in values.items()
        ],
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    marked = any(map(_marks, rows))
    columns = ["protocol", "re-ranking", "rank-1", "rank-10", "mAP", "mINP", "fingerprint"]
    columns += ["marks"] if marked else []
    lines = []
    for row in rows:
        numbers = (row["cmc"]["1"], row["cmc"].get("10"), row["mAP"], row["mINP"])
        cells = [row["label"], row["rerank"], *map(_percent, numbers), f"`{row['fingerprint']}`"]
        cells += ["; ".join(_marks(row))] if marked else []
        lines.append(cells)
    return "\n".join([ABOUT_RESULTS, markdown.table(columns, lines), *([MARKED] if marked else [])])


def _percent(number: Any) -> str:
    return f"{100 * number:.2f}" if isinstance(number, int | float) else "-"
