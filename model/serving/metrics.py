"""The model: *metrics* are counters and gauges of a house, as plain text that Prometheus reads."""

from __future__ import annotations

from model.serving.house import House


def as_text(house: House) -> str:
    """A line for each."""
    totals, rows = house.totals, house.totals.rows
    running, waiting = house.current.engine.rows if house.current.engine else (0, 0)
    found: list[tuple[str, str, float]] = [
        ("texts_running", "gauge", running),
        ("texts_waiting", "gauge", waiting + house.embedding),
        ("prompt_tokens_total", "counter", rows.prompt_tokens),
        ("tokens_total", "counter", rows.tokens),
        ("steps_total", "counter", rows.steps),
        ("step_rows_total", "counter", rows.row_steps),
        ("step_rows_most", "gauge", rows.most_rows),
        ("texts_cancelled_total", "counter", rows.cancelled),
        ("texts_embedded_total", "counter", totals.texts),
        ("versions_taken_in_total", "counter", totals.swaps),
        ("versions_refused_total", "counter", totals.refused_versions),
    ]
    lines = [line for name, kind, value in found for line in (f"# TYPE gristmill_{name} {kind}", f"gristmill_{name} {value}")]
    lines.append("# TYPE gristmill_requests_total counter")
    for (route, status), count in sorted(totals.requests.items()):
        lines.append(f'gristmill_requests_total{{route="{route}",status="{status}"}} {count}')
    return "\n".join(lines) + "\n"
