"""What is due after a step and after an epoch."""

from types import SimpleNamespace

import pytest

from jreid.training.cadence import Cadence


def cadence(validates=False, first_phase_ends=99, **every):
    config = SimpleNamespace(
        epochs=7,
        log_every_steps=4,
        checkpoint_every_epochs=every.get("saves", 3),
        pictures_every_epochs=every.get("draws", 0),
        evaluation=SimpleNamespace(every_epochs=every.get("scores", 2)),
    )
    method = SimpleNamespace(phase_at=lambda epoch: SimpleNamespace(name=epoch < first_phase_ends))
    return Cadence(SimpleNamespace(config=config, method=method), validates)


def due(question):
    return [epochs for epochs in range(1, 8) if question(epochs)]


def test_metrics_are_logged_every_few_steps_and_where_an_epoch_ends():
    logs = cadence().logs
    assert [number for number in range(1, 11) if logs(number, number in (3, 6, 9))] == [
        3, 4, 6, 8, 9,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "saved"),
    [
        ({}, [3, 6, 7]),
        ({"saves": 99}, [7]),
        ({"saves": 99, "first_phase_ends": 4}, [4, 7]),
        ({"validates": True}, [2, 3, 4, 6, 7]),
    ],
)
def test_states_are_saved_as_often_as_asked_before_a_score_and_a_new_phase(options, saved):
    assert due(cadence(**options).saves) == saved


@pytest.mark.parametrize(
    ("options", "scored"),
    [({}, []), ({"validates": True}, [2, 4, 6, 7]), ({"validates": True, "scores": 5}, [5, 7])],
)
def test_scores_need_validation_identities(options, scored):
    assert due(cadence(**options).scores) == scored
    assert not cadence(**options).scores(0)


@pytest.mark.parametrize(("every", "drawn"), [(0, []), (1, [*range(1, 8)]), (3, [3, 6, 7])])
def test_pictures_are_drawn_if_asked_for(every, drawn):
    assert due(cadence(draws=every).draws) == drawn
