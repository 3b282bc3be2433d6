"""What standard re-ranking on a device costs, by XLA's own account of each compiled stage.

python -m experiments.benchmarks.reranking_cost --devices=1xH100

Without `--devices` it is compiled for this machine. The lengths of the lists depend on the data:
`--members` and `--entries` are those of `experiments.benchmarks.reranking`'s features.
"""

import argparse
import importlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from experiments.benchmarks import aot_mesh
from experiments.benchmarks.evaluation.methods import DIMENSIONS, SIZES
from jreid.evaluation.ranking import cmc, device_codes, rerank_on_device
from jreid.evaluation.ranking.gallery import round_up
from jreid.evaluation.ranking.inputs import one_device
from jreid.evaluation.ranking.nearest import Images
from jreid.evaluation.ranking.rerank_on_device import QUERIES_AT_ONCE
from jreid.process import configure

K1, K2, BLOCK = 20, 6, 1024
MATCHES = 48  # at most, of an identity


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a row for each stage, and what the host fetches."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", help="such as 1xH100, which this machine need not have")
    parser.add_argument("--size", default="sysu", choices=SIZES)
    parser.add_argument("--members", type=int, default=64, help="of an expanded set, at most")
    parser.add_argument("--entries", type=int, default=160, help="of an averaged code, at most")
    options = parser.parse_args(arguments)
    mesh = aot_mesh.make_mesh(options.devices) if options.devices else one_device(jnp.zeros(1))
    Q, G, identities, _ = SIZES[options.size]
    print("| stage | runs | GFLOP | GB accessed | MB of working memory | MB fetched |")
    print("|---|---|---|---|---|---|")
    total = [0.0, 0.0, 0.0]
    lowered = stages(Q, G, identities, mesh, options.members, options.entries)
    for name, (runs, stage, fetched) in lowered.items():
        compiled = stage.compile()
        accessed, memory = bytes_accessed(compiled), compiled.memory_analysis()
        row = [runs * flops(stage) / 1e9, runs * accessed / 1e9, runs * fetched / 1e6]
        total = [a + b for a, b in zip(total, row, strict=True)]
        text = f"{row[0]:.1f} | {row[1]:.2f} | {memory.temp_size_in_bytes / 1e6:.0f} | {row[2]:.3f}"
        print(f"| {name} | {runs} | {text} |", flush=True)
    print(f"| together | | {total[0]:.1f} | {total[1]:.2f} | | {total[2]:.3f} |")


def flops(stage: Any) -> float:
    """Floating-point operations of a program, before products become calls of a library."""
    return _cost(stage.compiler_ir(dialect="hlo").as_hlo_module())["flops"]


def bytes_accessed(compiled: Any) -> float:
    """Bytes that the kernels of a compiled program read and write."""
    (module,) = compiled.runtime_executable().hlo_modules()
    return _cost(module)["bytes accessed"]


def _cost(module: Any) -> dict[str, float]:
    # `Compiled.cost_analysis` has none for absent devices.
    client: Any = jax.devices()[0].client
    return importlib.import_module("jaxlib._jax").hlo_module_cost_analysis(client, module)


def stages(
    Q: int, G: int, identities: int, mesh: Mesh, members: int, entries: int
) -> dict[str, tuple[int, Any, int]]:
    """How often each stage runs, its lowered program, and the bytes that the host fetches of it."""
    N = Q + G
    rows = round_up(N, BLOCK)
    whole, split = (
        NamedSharding(mesh, spec) for spec in (PartitionSpec(), PartitionSpec(mesh.axis_names))
    )

    def array(*shape: int, dtype: Any = jnp.int32, sharding: Any = whole) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    def floats(*shape: int) -> Any:
        return array(*shape, dtype=jnp.float32)

    own = array(BLOCK, sharding=split)  # of a block, since XLA counts a loop's body once
    row_blocks = rows // BLOCK
    images = Images(floats(rows, DIMENSIONS), floats(rows))
    near, half = array(rows, K1 + 1), array(rows, round(K1 / 2) + 1)
    sets, averaged = array(rows, members), array(rows, K2)
    code = array(rows, entries), floats(rows, entries)
    few = max(1, device_codes.AT_ONCE // (members * DIMENSIONS))
    few = next(size for size in range(min(BLOCK, few), 0, -1) if BLOCK % size == 0)
    some = array(few, sharding=split)
    blocks = -(-Q // QUERIES_AT_ONCE)
    queries = array(QUERIES_AT_ONCE, sharding=split)
    counted = 4 * QUERIES_AT_ONCE * (2 * MATCHES + 1) + 1
    tile = array(QUERIES_AT_ONCE, G, dtype=jnp.float32, sharding=split)
    return {
        "neighbors": (
            row_blocks,
            device_codes.neighbors.lower(own, images, ((0, N),), K1 + 1, Q, N, BLOCK, mesh),
            0,
        ),
        "reciprocal": (1, device_codes.reciprocal.lower(near), 0),
        "expansion": (row_blocks, device_codes.expanded.lower(own, near, half, BLOCK, mesh), 4),
        "weights": (
            rows // few,
            device_codes.weights.lower(some, sets, images.features, floats(rows), few, mesh),
            0,
        ),
        "entries": (
            row_blocks, device_codes.count_averaged.lower(own, averaged, sets, BLOCK, mesh), 4),
        "query expansion": (
            row_blocks,
            device_codes.average.lower(
                own, averaged, sets, floats(rows, members), entries, BLOCK, mesh
            ),
            0,
        ),
        "distances": (
            blocks,
            rerank_on_device._final.lower(
                queries, images, floats(rows), [code], 0.3, Q, N, mesh
            ),
            0,
        ),
        "ranks": (
            blocks,
            cmc._count.lower(
                tile, array(G), None, array(QUERIES_AT_ONCE), array(QUERIES_AT_ONCE), array(G),
                MATCHES, round_up(identities, 8),
            ),
            counted,
        ),
    }  # fmt: skip


if __name__ == "__main__":
    configure(compilation_cache=False)
    main()
