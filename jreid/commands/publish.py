"""`jreid publish`: a run's model as a folder that others can load."""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

from jreid.commands.common import add_run_flags, verb
from jreid.errors import InputError, counted

log = logging.getLogger(__name__)


def add(verbs: Any) -> None:
    """Adds the verb."""
    help = "write a run's model as a bundle that others can load: weights, config, card, hashes"
    publish = verb(verbs, "publish", _publish, help, config=False)
    add_run_flags(publish)
    publish.add_argument(
        "--output", type=Path, required=True, help="the folder to make; it must not exist"
    )
    publish.add_argument(
        "--license",
        default="unknown",
        metavar="NAME",
        help="license of the weights in the card, as model hubs name it, such as cc-by-nc-4.0 "
        "(default: unknown)",
    )


def _publish(options: argparse.Namespace) -> None:
    import jreid
    from jreid import config as configs
    from jreid.engine.model import Model
    from jreid.runs import bundle
    from jreid.runs.card import card
    from jreid.runs.check_config import check_config
    from jreid.runs.chosen import chosen_variables, open_checkpoints
    from jreid.runs.run import Run

    if not options.license or not options.license.isprintable():
        raise InputError(
            f"--license={options.license!r} is not the name of a license; give one, such as "
            "cc-by-nc-4.0."
        )
    run, output = Run(options.workdir), options.output
    if output.exists():
        raise InputError(f"{output} exists; choose another --output, nothing is overwritten.")
    config = run.config()
    check_config(config)
    model = Model(config)
    with open_checkpoints(run) as checkpoints:
        variables, checkpoint = chosen_variables(checkpoints, model, run, options.checkpoint)
        weights = checkpoints.weights(checkpoint["step"])
    packed = bundle.packed(variables)
    config = bundle.portable(config)
    bundle.warn_of_paths(config, output)
    result = _result(run, config, checkpoint)
    published = {**checkpoint, "weights": weights, "sha256": bundle.sha256(packed)}
    record = bundle.record_of(run.record(), config, published)
    outside = [*configs.outside_names(config).values()]
    texts = {
        "config.json": configs.to_text(config),
        "run.json": _json(record),
        bundle.CARD: card(
            config, checkpoint, result["rows"], options.license, jreid.__version__, outside
        ),
        **({"result.json": _json(result)} if result["rows"] else {}),
    }
    bundle.write_bundle(output, packed, texts)
    files = {path.name: path.stat().st_size for path in sorted(output.iterdir())}
    options.document = {"output": output, "checkpoint": checkpoint, "files": files}
    what = f"{checkpoint['checkpoint']} checkpoint, step {checkpoint['step']}"
    size = sum(files.values()) / 1e6
    print(f"{output}: a bundle of the {what}: {counted(len(files), 'files')}, {size:.1f} MB")
    if options.license == "unknown":
        log.info("its card says `license: unknown`; give the license of the weights by --license")


def _result(run: Any, config: Any, checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The run's result with the rows of the checkpoint, without the command that made it.

    Without rows if the features were extracted in another way than the config says, such as with
    mirror images.
    """
    from jreid.evaluation.results.compare import extraction_differences
    from jreid.runs.chosen import extraction_of

    result = run.read_result() if run.result.is_file() else {"rows": []}
    own = {"extraction": json.loads(json.dumps(extraction_of(config)))}
    names = str(run.result), "its config"
    if "extraction" in result and (other := extraction_differences(result, own, names)):
        log.warning("%s is left out of the bundle: %s", run.result, other[0])
        result = {**result, "rows": []}
    rows = [
        row
        for row in result["rows"]
        if all(row.get(name) == checkpoint[name] for name in ("checkpoint", "step", "weights"))
    ]
    if not rows:
        log.warning(
            "%s has no result of this checkpoint, so the card shows none; `jreid evaluate "
            "--workdir=%s` makes one.",
            run.workdir,
            run.workdir,
        )
    return {name: result[name] for name in result if name != "command"} | {"rows": rows}


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
