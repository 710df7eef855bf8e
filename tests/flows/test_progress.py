"""Progress lines tell step, share, done of total, rate and time left."""

import io

import pytest

from flows.progress import Meter, Progress, duration, quantity


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "bytes", "0 B"),
        (3_400_000, "bytes", "3.4 MB"),
        (2e12, "bytes", "2000.0 GB"),
        (1150, "steps", "1,150 steps"),
        (2.5, "steps", "2.5 steps"),
    ],
)
def test_quantity(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


@pytest.mark.parametrize(("seconds", "text"), [(42.4, "42 s"), (185, "3 min 05 s"), (7800, "2 h 10 min"), (59.7, "1 min 00 s")])
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_line_has_rate_and_time_left() -> None:
    now = 100.0
    meter = Meter("pretrain", io.StringIO(), clock=lambda: now)
    meter.show(Progress(100, 1000, "steps"))
    assert (
        meter.line(Progress(300, 1000, "steps", "loss 3.2"), 120.0)
        == "  pretrain    30%  300 steps of 1,000 steps  10 steps/s  1 min 10 s left  loss 3.2"
    )


def test_a_log_file_gets_a_line_every_few_seconds() -> None:
    now, out = 0.0, io.StringIO()
    meter = Meter("tokens", out, clock=lambda: now)
    for second in range(11):
        now = float(second)
        meter.show(Progress(second, 10, "bytes"))
    assert len(out.getvalue().splitlines()) == 3
