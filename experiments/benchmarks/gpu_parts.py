"""The parts of the benchmark of a GPU: how each is prepared and measured.

Many parts are prepared at once and then wait, so a part that waits holds little of the device's
memory. A training step of ours is only compiled, from shapes; its state and batch are made when it
is measured. PyTorch compiles in its first step, and then gives back what that needed. An evaluation
or a re-ranking runs once, since its shapes depend on the features; its arrays are small.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from jreid.config_file import shipped_configs

Measure = Callable[[], dict[str, Any]]  # fields of a Row
DTYPES = ("bfloat16", "float32")
# XLA's options to compile with; 0: it tries no algorithms.
UNTUNED = {"xla_gpu_autotune_level": 0}
TUNED: dict[str, Any] = {}
PEER = "ResNet-50, torch.compile, {}"
OURS = "ResNet-50, jreid, {}"
BY_HOST = "standard, its codes by the host"
RERANKED = "standard", "query_only", "extended", "constrained"


class Part(NamedTuple):
    """A part of the benchmark, in a process of its own.

    Attributes:
        group: what is measured.
        name: of what.
        prepare: called with the arguments; compiles, and returns the function that measures and
            holds what that needs of the device's memory.
        arguments: of `prepare`.
        peer: the name of the part that its speed is compared with.
    """

    group: str
    name: str
    prepare: Callable[..., Measure]
    arguments: tuple[Any, ...]
    peer: str = ""


class Row(NamedTuple):
    """A part's result.

    Attributes:
        images_per_second: of a training step.
        seconds: of an evaluation or a re-ranking.
        of_peer: its speed, divided by that of its peer.
        compiled_in: seconds of tracing, compiling and the first call, beside other parts that
            compile.
        tflops: 1e12 operations per second of a training step.
        memory: GB of working memory of a step, as XLA reports it.
        note: why it was not measured.
    """

    group: str
    name: str
    images_per_second: float | None = None
    seconds: float | None = None
    of_peer: float | None = None
    compiled_in: float | None = None
    tflops: float | None = None
    memory: float | None = None
    note: str = ""

    def speed(self) -> float | None:
        """Images per second, or evaluations per second."""
        return self.images_per_second or (1 / self.seconds if self.seconds else None)


def all_parts(tiny: bool) -> list[Part]:
    """The parts, those that matter most first."""
    if tiny:
        return [
            Part("training", "agw, float32", train, ("agw:tiny,dtype=float32", TUNED, 1, 2)),
            Part("evaluation", "tiny", evaluate, ("ours", (60, 40, 6, 2)), "tiny, product"),
            Part("evaluation", "tiny, product", evaluate, ("bare_product", (60, 40, 6, 2))),
            Part("re-ranking", "standard, tiny", rerank, ("standard", (60, 40, 6, 2)), BY_HOST),
            Part("re-ranking", BY_HOST, rerank, ("standard", (60, 40, 6, 2), False)),
        ]
    from experiments.benchmarks.evaluation.methods import SIZES
    from experiments.benchmarks.training import SAME_AS_PYTORCH

    parts = []
    for dtype in DTYPES:
        same = f"{SAME_AS_PYTORCH},dtype={dtype}"
        ours, peer = OURS.format(dtype), PEER.format(dtype)
        parts += [
            Part("training", ours, train, (same, TUNED, 3, 20), peer),
            Part("training", peer, train_torch, (dtype, 3, 20)),
        ]
    for method in sorted(shipped_configs()):
        options = UNTUNED if method == "pfanet" else TUNED
        note = ", untuned" if options else ""
        parts += [
            Part(
                "training",
                f"{method}, {dtype}{note}",
                train,
                (f"{method}:sysu_mm01,dtype={dtype}", options, 3, 20),
            )
            for dtype in DTYPES
        ]
    for size in ("sysu", "market"):
        product = f"{size}, bare product"
        parts += [
            Part("evaluation", size, evaluate, ("ours", SIZES[size]), product),
            Part("evaluation", product, evaluate, ("bare_product", SIZES[size])),
        ]
    sysu = SIZES["sysu"]
    parts += [
        Part("re-ranking", f"{kind}, sysu", rerank, (kind, sysu), BY_HOST * (kind == "standard"))
        for kind in RERANKED
    ]
    return [
        *parts,
        Part("re-ranking", BY_HOST, rerank, ("standard", sysu, False)),
        Part("re-ranking", "standard, market", rerank, ("standard", SIZES["market"])),
    ]


def last_parts(tiny: bool) -> list[Part]:
    """The parts that are tried in the time that is left."""
    method, scale = ("agw", "tiny") if tiny else ("pfanet", "sysu_mm01")
    source = f"{method}:{scale},dtype=bfloat16"
    return [Part("training", f"{method}, bfloat16, tuned", train, (source, TUNED, 1, 2))]


def train(source: str, compiler_options: dict[str, Any], rounds: int, steps: int) -> Measure:
    """A config's step, on random images."""
    import jax
    import numpy as np

    from experiments.benchmarks import training
    from jreid.engine.model import Model

    model = Model(training.load_config(source))
    program = training.compile_step(source, model, compiler_options=compiler_options)
    seed = np.uint32(model.config.seed)
    init = model.initialization().lower(seed).compile()
    make_state = jax.jit(model.state).lower(model.shapes().variables).compile()

    def measure() -> dict[str, float]:
        state = make_state(jax.device_get(init(seed)))
        contender = program.start(state, training.random_batches(model))
        return _trained(contender, rounds, steps)

    return measure


def train_torch(dtype: str, rounds: int, steps: int) -> Measure:
    """ResNet-50's step, compiled by PyTorch; RuntimeError if PyTorch finds no GPU."""
    import torch

    from experiments.benchmarks import training, training_torch

    if not torch.cuda.is_available():
        raise RuntimeError("PyTorch finds no GPU: install its release for this GPU")
    classes = training.load_config(training.SAME_AS_PYTORCH).data.identities
    contender = training_torch.contender(dtype, True, classes, None)
    torch.cuda.empty_cache()
    return partial(_trained, contender, rounds, steps)


def _trained(contender: Any, rounds: int, steps: int) -> dict[str, float]:
    from experiments.benchmarks.training import measure

    speed = statistics.median(measure(contender, steps) for _ in range(rounds))
    result = {"images_per_second": speed, "compiled_in": contender.compile_seconds}
    if contender.operations and contender.memory:
        result["tflops"] = contender.operations / contender.images * speed / 1e12
        result["memory"] = contender.memory / 1e9
    return result


def evaluate(method: str, size: tuple[int, int, int, int]) -> Measure:
    """A way to rank a gallery."""
    from experiments.benchmarks.evaluation.methods import METHODS, make_problem

    return _timed(partial(METHODS[method], make_problem(*size)))


def rerank(kind: str, size: tuple[int, int, int, int], on_device: bool | None = None) -> Measure:
    """A kind of re-ranking and its ranks; distances that are on the device stay there.

    Args:
        on_device: as in `rerank_blocks`.
    """
    from experiments.benchmarks.evaluation.methods import make_problem
    from jreid.evaluation import Rerank
    from jreid.evaluation.ranking.cmc import score_distances
    from jreid.evaluation.ranking.rerank import rerank_checked

    query, gallery, *labels = make_problem(*size)

    def score() -> None:
        blocks: Any = rerank_checked(
            query, gallery, Rerank(kind), "cosine", None, on_device=on_device
        )
        score_distances((block for _, block in blocks), *labels, cmc="image")

    return _timed(score)


def _timed(function: Callable[[], object]) -> Measure:
    from experiments.benchmarks.measure import by_turns

    start = time.monotonic()
    function()
    compiled_in = time.monotonic() - start

    def measure() -> dict[str, float]:
        seconds = by_turns({"": function}, rounds=3)[""].wall
        return {"seconds": statistics.median(seconds), "compiled_in": compiled_in}

    return measure
