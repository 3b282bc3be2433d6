"""The card of a bundle: a README.md with a front matter that model hubs read."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

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
    if rows:
        fields["model-index"] = [{"name": name, "results": [*map(_result, rows)]}]
    return [f"{field}: {json.dumps(value)}" for field, value in fields.items()]


def _result(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row in the form of hubs."""
    split, values = row.get("of_split", "test"), {"rank-1": row["cmc"]["1"]}
    values |= {"mAP": row["mAP"], "mINP": row["mINP"]}
    rule = f"{row['label']}, re-ranking {row['rerank']}, fingerprint {row['fingerprint']}"
    dataset = {"type": row["dataset"], "name": f"{row['dataset']}, {rule}", "split": split}
    return {
        "task": {"type": TASK, "name": "Visible-infrared person re-identification"},
        "dataset": dataset,
        "metrics": [
            {"type": metric, "name": metric, "value": round(100 * value, 2)}
            for metric, value in values.items()
        ],
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        ABOUT_RESULTS,
        "| protocol | re-ranking | rank-1 | rank-10 | mAP | mINP | fingerprint |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        numbers = (row["cmc"]["1"], row["cmc"]["10"], row["mAP"], row["mINP"])
        cells = [row["label"], row["rerank"], *(f"{100 * number:.2f}" for number in numbers)]
        lines.append(f"| {' | '.join(cells)} | `{row['fingerprint']}` |")
    return "\n".join(lines)
