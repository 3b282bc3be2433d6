"""The command line: `jreid VERB`, or `python -m jreid VERB` from a clone.

Everything heavy is imported inside the verbs, so that help answers at once.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from jreid.errors import InputError

FIELDS = "config fields are set as --config.field=value, for example --config.batch.images=8"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a verb; bad input is one sentence on standard error and status 2."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # its sums depend on the thread count
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    options.overrides = [flag for flag in rest if flag.startswith(("--config.", "--noconfig."))]
    unknown = [flag for flag in rest if flag not in options.overrides]
    if unknown or (options.overrides and not options.takes_config):
        parser.error(f"unrecognized arguments: {' '.join(unknown or options.overrides)}")
    try:
        options.run(options)
    except InputError as error:
        print(f"jreid: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else f"{error}"
        print(f"jreid: {what}; mend that and give the same command again.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("jreid: interrupted; the same command goes on from what is saved.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "jreid", description="Visible-infrared person re-identification."
    )
    parser.add_argument("--version", action="version", version=f"jreid {_version()}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    train = _verb(verbs, "train", _train, "train a method, then evaluate it", config=True)
    train.add_argument(
        "--config",
        help="config file and argument: configs/agw.py:synthetic; may be left out to resume",
    )
    train.add_argument(
        "--workdir", type=Path, required=True, help="the run's folder; a run there goes on"
    )

    evaluate = _verb(verbs, "evaluate", _evaluate, "evaluate a run's checkpoints", config=True)
    evaluate.add_argument("--workdir", type=Path, required=True, help="the run's folder")

    embed = _verb(verbs, "embed", _embed, "embed a folder of images", config=False)
    embed.add_argument("--workdir", type=Path, required=True, help="the run's folder")
    embed.add_argument(
        "--images", type=Path, required=True, help="folder of images, searched through"
    )
    embed.add_argument(
        "--modality", required=True, choices=("visible", "infrared"), help="of the images"
    )
    embed.add_argument("--output", type=Path, required=True, help="the .npz file to write")
    embed.add_argument(
        "--checkpoint",
        choices=("last", "best"),
        default="last",
        help="which weights (default: last)",
    )

    import_ = _verb(verbs, "import", _import, "make a run of a PyTorch checkpoint", config=True)
    import_.add_argument(
        "--config", required=True, help="config file and argument: configs/agw.py:sysu_mm01"
    )
    import_.add_argument(
        "--checkpoint", type=Path, required=True, help="the .pth or .safetensors file"
    )
    import_.add_argument(
        "--workdir", type=Path, required=True, help="the folder of the run to make"
    )

    data = verbs.add_parser(
        "data", help="make and look at datasets", description="Make and look at datasets."
    )
    actions = data.add_subparsers(title="actions", metavar="ACTION", required=True)
    synthesize = _verb(
        actions, "synthesize", _synthesize, "render the synthetic dataset", config=False
    )
    synthesize.add_argument("--output", type=Path, required=True, help="the folder to make")
    synthesize.add_argument(
        "--preset",
        choices=("default", "tiny"),
        default="default",
        help="how much of it (default: default)",
    )
    synthesize.add_argument(
        "--seed", type=int, default=0, help="of everything random in it (default: 0)"
    )
    show = _verb(actions, "show", _show, "draw a contact sheet of a dataset", config=False)
    show.add_argument("folder", type=Path, help="a folder of SYSU-MM01's layout")
    show.add_argument("--output", type=Path, required=True, help="the .jpg file to write")
    return parser


def _verb(
    verbs: Any, name: str, run: Callable[[argparse.Namespace], None], told: str, config: bool
) -> argparse.ArgumentParser:
    sentence = f"{told[0].upper()}{told[1:]}."
    verb = verbs.add_parser(
        name, help=told, description=sentence, epilog=FIELDS if config else None
    )
    verb.set_defaults(run=run, takes_config=config)
    return verb


def _train(options: argparse.Namespace) -> None:
    from jreid.training.loop import train
    from jreid.training.run import Run

    run = Run(options.workdir)
    config = _config(options)
    run.check(config)
    start = _weights("none" if run.has_checkpoint() else config.weights)
    dataset = _dataset(config)
    train(config, run, dataset, start)
    _evaluate_run(config, run, dataset)


def _evaluate(options: argparse.Namespace) -> None:
    from jreid import config as configs
    from jreid.training.run import Run

    run = Run(options.workdir)
    config = _config(options)
    for changed in configs.differences(config, run.config()):
        if not changed.startswith("evaluation."):
            raise InputError(
                f"config.{changed.split(':')[0]} is the trained run's and stays; `evaluate` takes "
                "config.evaluation, config.data.folder and config.data.prepared."
            )
    _evaluate_run(config, run, _dataset(config))


def _evaluate_run(config: Any, run: Any, dataset: Any) -> None:
    """Scores the run's last and best checkpoints on the test split, tells and keeps the rows."""
    from rich.console import Console

    from jreid.evaluation.evaluate import format_table, write_result
    from jreid.training.evaluation import evaluate_run
    from jreid.training.run import provenance

    rows = evaluate_run(config, run, dataset)
    write_result(run.result, {**provenance(config), "rows": rows})
    console = Console(width=max(Console().width, 130))
    console.print(f"{config.method} on {config.data.name}, test split", markup=False)
    console.print(format_table(rows))
    print(f"result       {run.result}")
    print(f"metrics      {run.metrics / 'metrics.jsonl'}")
    print(f"TensorBoard  tensorboard --logdir={run.metrics}")
    print(f"embeddings   python -m jreid embed --workdir={run.workdir} --images=DIR ...")


def _embed(options: argparse.Namespace) -> None:
    from jreid.training.embedding import embed_folder
    from jreid.training.run import Run

    count = embed_folder(
        Run(options.workdir), options.checkpoint, options.images, options.modality, options.output
    )
    print(f"{options.output}: embeddings of {count} {options.modality} images")


def _import(options: argparse.Namespace) -> None:
    from jreid.training.checkpoints import Checkpoints
    from jreid.training.model import Model
    from jreid.training.run import Run
    from jreid.weights.torch import convert, read_checkpoint

    # The run starts from the checkpoint: it needs no other weights, now or when it is trained on.
    options.overrides.append("--config.weights=none")
    config, run = _config(options), Run(options.workdir)
    run.check(config)
    if run.has_checkpoint():
        raise InputError(f"{run.workdir} holds checkpoints; import into another --workdir.")
    entries = read_checkpoint(options.checkpoint)
    model = Model(config)
    if model.method.torch_layout is None:
        raise InputError(f"config.method={config.method} has no published checkpoint to import.")
    state = model.state(convert(entries, model.variables(), model.method.torch_layout))
    run.claim(config, None)
    with Checkpoints(run.checkpoints, writes=True) as checkpoints:
        checkpoints.save(state)
    print(f"{run.workdir}: a run of the {len(entries)} entries of {options.checkpoint}")


def _synthesize(options: argparse.Namespace) -> None:
    from rich.progress import Progress

    from jreid.data.synthetic import synthesize

    with Progress(transient=True) as progress:
        task = progress.add_task("rendering")
        synthesize(
            options.output,
            options.preset,
            options.seed,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    print(f"{options.output}: the synthetic dataset, preset {options.preset}, seed {options.seed}")


def _show(options: argparse.Namespace) -> None:
    from jreid.data.contact_sheet import contact_sheet

    contact_sheet(options.folder, options.output)
    print(f"{options.output}: people by row, cameras by column")


def _config(options: argparse.Namespace) -> Any:
    """The config that the flags ask for, or else the run's own; checked."""
    from jreid import config as configs
    from jreid.training.checks import check_config
    from jreid.training.run import Run

    if getattr(options, "config", None):
        config = configs.load(options.config, options.overrides)
    else:
        config = configs.override(Run(options.workdir).config(), options.overrides)
    check_config(config)
    return config


def _dataset(config: Any) -> Any:
    from jreid.data.dataset import load

    return load(config.data.layout, Path(config.data.folder), Path(config.data.prepared), _track)


def _weights(weights: str) -> Callable[[Any], Any]:
    """Puts the weights that `config.weights` names into initial variables; finds them now."""
    if weights == "none":
        return lambda variables: variables
    from jreid.weights.imagenet import load_imagenet, locate

    source = locate(weights)

    def fill(variables: Any) -> Any:
        variables, kept = load_imagenet(variables, source)
        print(f"{source}: into the backbone, but for {len(kept)} arrays that it does not have")
        return variables

    return fill


def _track(items: Iterable[Any], what: str, count: int) -> Iterable[Any]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(
        items, what, count, console=console, transient=True, disable=not console.is_terminal
    )


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("jreid")
    except PackageNotFoundError:
        return "(from a clone)"


if __name__ == "__main__":
    sys.exit(main())
