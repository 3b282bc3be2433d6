"""Benchmarks measure what they say, and refuse what they do not know before they measure."""

import jax
import numpy as np
import pytest
from helpers.paths import ROOT

from experiments.benchmarks import compile as compiling
from experiments.benchmarks import input as reading
from experiments.benchmarks import memory, reranking, training
from experiments.benchmarks.evaluation import __main__ as evaluation
from experiments.benchmarks.evaluation.methods import METHODS, make_problem
from jreid.distributed.mesh import make_mesh


@pytest.mark.slow
def test_memory_grows_with_the_batch():
    config = memory.load_config(f"{ROOT}/configs/agw.py:tiny")
    small = memory.account(config, make_mesh())
    config.batch.images *= 4
    large = memory.account(config, make_mesh())
    assert large.state == small.state
    assert large.kept > 2 * small.kept
    assert large.step > small.step > small.state


def test_a_programs_instructions_and_convolutions_are_counted():
    def convolve(image, kernel):
        return jax.lax.conv(jax.lax.conv(image, kernel, (1, 1), "SAME"), kernel, (1, 1), "SAME")

    shapes = (
        jax.ShapeDtypeStruct((1, 2, 5, 5), np.float32),
        jax.ShapeDtypeStruct((2, 2, 3, 3), "f4"),
    )
    cost = compiling.measure(lambda: jax.jit(convolve).trace(*shapes))
    assert cost.convolutions == (2, 2) and cost.distinct == 1 and cost.instructions[0] == 4
    assert min(cost.trace, cost.lower, cost.compile, cost.work) > 0


@pytest.mark.parametrize("name", ["numpy_by_query", "numpy_argsort", "jax_argsort"])
def test_ways_to_rank_agree(name):
    problem = make_problem(40, 90, 9, 3)
    ours, other = METHODS["ours"](problem), METHODS[name](problem)
    np.testing.assert_array_equal(other.rank, ours.rank)
    np.testing.assert_allclose(other.average_precision, ours.average_precision, atol=1e-6)


@pytest.mark.parametrize(
    ("main", "flag", "message"),
    [
        (memory.main, "--devices=8xA1", "cannot compile for an absent 8xA1"),
        (compiling.main, "--programs=steps", "steps is none of the programs"),
        (evaluation.main, "--sizes=msmt17", "msmt17 is none of the sizes"),
        (evaluation.main, "--methods=ours,faster", "faster is none of"),
        (reranking.main, "--sizes=sysu,msmt17", "msmt17 is none of the sizes"),
        (reranking.main, "--methods=faster", "faster is none of"),
        (training.main, "--dtypes=float32,float8", "float8 is none of float32, bfloat16"),
        (reading.main, "--folder=missing", "missing is not a folder"),
    ],
)
def test_bad_flags_are_refused_before_anything_is_measured(capsys, main, flag, message):
    with pytest.raises(SystemExit) as refusal:
        main([flag])
    assert message in f"{refusal.value} {capsys.readouterr().err}"
