import json
import shutil

import pytest

from jreid.training.log import MetricWriter, StepProgress
from jreid.training.observer import Step


def read(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_lines_after_the_resumed_step_are_written_anew(tmp_path):
    with MetricWriter(tmp_path, 0) as metric_writer:
        for step in (1, 2, 3):
            metric_writer.write(step, {"loss": step / 2})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # killed while writing
    with MetricWriter(tmp_path, 2) as metric_writer:
        metric_writer.write(3, {"loss": 9.0})
    assert read(tmp_path) == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 1.0},
        {"step": 3, "loss": 9.0},
    ]


def test_tensorboard_has_the_same_points(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    with MetricWriter(tmp_path, 0) as metric_writer:
        metric_writer.write(7, {"loss": 0.25})
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0}).Reload()
    (point,) = events.Tensors("loss")
    assert (point.step, make_ndarray(point.tensor_proto)) == (7, 0.25)


def test_what_is_not_finite_is_not_recorded(tmp_path):
    with MetricWriter(tmp_path, 0) as metric_writer, pytest.raises(ValueError, match="JSON"):
        metric_writer.write(1, {"loss": float("nan")})


def test_means_are_written_with_the_epoch_and_the_speed(tmp_path):
    with MetricWriter(tmp_path, 0) as metric_writer:
        for number, means in ((1, None), (2, {"loss": 0.5})):
            metric_writer.on_step(Step(number, 3, False, False, None, means, (), 60.0))
    assert read(tmp_path) == [{"step": 2, "epoch": 3, "loss": 0.5, "images_per_second": 60.0}]


def test_lines_show_step_epoch_losses_speed_and_time_left(capsys):
    means = {"model/loss": 1.5, "other": 2.0}
    with StepProgress(4, 12, 64) as progress:
        progress.on_step(Step(5, 0, False, False, None, means, (), 48.0))
        progress.on_step(Step(6, 0, False, False, None))
        progress.on_step(Step(12, 1, True, False, None, means))
    assert capsys.readouterr().err.splitlines() == [
        "resuming at step 4 of 12",
        "step 5/12, epoch 1, model/loss 1.500, 48 images/s, 0:09 left",
        "step 12/12, epoch 2, model/loss 1.500",
    ]


def test_a_removed_folder_is_warned_of_once_and_does_not_end_the_run(tmp_path, caplog):
    with MetricWriter(tmp_path / "metrics", 0) as metric_writer:
        metric_writer.write(1, {"loss": 1.0})
        shutil.rmtree(tmp_path / "metrics")
        for step in (2, 3, 4):
            metric_writer.write(step, {"loss": float(step)})
    (message,) = caplog.messages
    assert "metrics cannot be written to" in message
    assert [line["step"] for line in read(tmp_path / "metrics")] == [3, 4]


@pytest.mark.fault("B6")
@pytest.mark.parametrize(
    "damaged",
    [
        b'{"step": 2, "lo',
        b"",
        b"null",
        b"[1]",
        b"3",
        b'{"loss": 1}',
        b'{"step": "2"}',
        b"\xff\x00}",
    ],
)
def test_damaged_lines_are_left_out_with_a_warning(tmp_path, damaged, caplog):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n' + damaged + b'\n{"step": 3}\n' + damaged)
    with MetricWriter(tmp_path, 3) as metric_writer:
        metric_writer.write(4, {"loss": 1.0})
    assert [line["step"] for line in read(tmp_path)] == [1, 3, 4]
    (message,) = caplog.messages
    assert str(path) in message
    assert "line 2" in message


def test_the_validation_of_a_step_that_is_scored_anew_is_dropped(tmp_path):
    with MetricWriter(tmp_path, 0) as metric_writer:
        for step in (1, 2):
            metric_writer.write(step, {"loss": 1.0})
            metric_writer.write(step, {"validation/mAP": 0.5})
    with MetricWriter(tmp_path, 2, unscored=True):
        pass
    assert [*map(len, read(tmp_path))] == [2, 2, 2]
