# %% [markdown]
# # First run of jreid
#
# This notebook renders a dataset, trains a small model on it, looks at the result and searches
# with the model. It needs no GPU and downloads nothing: about five minutes on two CPU cores.
#
# It needs jreid with the part `data`. In a clone of the repository: `pip install ".[data]"`. In a
# hosted notebook, clone the repository, run `%pip install ".[data]"` in it, and restart the
# runtime.

# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt
import PIL.Image

import jreid
from jreid.__main__ import main

SCALE = "synthetic"  # "tiny" takes seconds; its numbers mean nothing
DATA, RUN = Path("data") / SCALE, Path("runs") / f"notebook_{SCALE}"


def command(*arguments: str) -> None:
    """Runs `jreid` with these arguments, as on the command line."""
    if main(arguments):
        raise SystemExit("the command failed; the message above says why")


print(jreid.__version__)

# %% [markdown]
# ## The dataset
#
# Rendered people in six cameras, in the folder layout of SYSU-MM01. Cameras 3 and 6 are infrared.

# %%
preset = "tiny" if SCALE == "tiny" else "default"
command("data", "synthesize", f"--preset={preset}", f"--output={DATA}")
command("data", "show", "synthetic", f"--source={DATA}", "--output=sheet.jpg")
PIL.Image.open("sheet.jpg")

# %% [markdown]
# ## Training
#
# AGW, the baseline of the field, at a scale for CPUs. If you interrupt this cell, run it again:
# it continues. At the end it evaluates the model on people that it has not seen.

# %%
command("train", f"--config=agw:{SCALE}", f"--workdir={RUN}")

# %% [markdown]
# The same numbers are in `result.json`. A fingerprint names the protocol, the re-ranking and the
# images: you may compare two numbers if their fingerprints are equal.

# %%
for row in json.loads((RUN / "result.json").read_text())["rows"]:
    rank1, mean_precision = 100 * row["cmc"]["1"], 100 * row["mAP"]
    name = f"{row['label']}, re-ranking {row['rerank']}"
    print(f"{rank1:5.1f} rank-1 {mean_precision:5.1f} mAP  {row['fingerprint']}  {name}")

# %% [markdown]
# Is the training healthy? Each loss has to fall.

# %%
lines = [json.loads(line) for line in (RUN / "metrics" / "metrics.jsonl").read_text().splitlines()]
losses = {line["step"]: line["model/loss"] for line in lines if "model/loss" in line}
plt.figure(figsize=(6, 3))
plt.plot(list(losses), list(losses.values()))
plt.xlabel("step")
plt.ylabel("loss")
plt.tight_layout()

# %% [markdown]
# ## Search
#
# An infrared image of a person of the test split, and the visible images of camera 4 that are
# most like it. No labels are needed, and a folder of your own photos works the same way.

# %%
person = int((DATA / "exp" / "test_id.txt").read_text().split(",")[0])
query = min((DATA / "cam6" / f"{person:04d}").glob("*.jpg"))
model = jreid.load(RUN)
hits = model.search(query, DATA / "cam4", top=8)
print(query, "->", [hit.name for hit in hits[0]])
hits

# %% [markdown]
# ## The report
#
# `report.html` in the run's folder shows the queries that the model ranks worst, median and best,
# the gap between the modalities and more. Open it in a browser.

# %%
print((RUN / "report.html").resolve())
