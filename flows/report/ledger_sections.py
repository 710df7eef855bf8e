"""The model: the sections that account for every record: the *funnel* from raw to kept, and examples of rejects.

A funnel's rows take records away from what was read, reason by reason, until those kept are left; the last row adds
all of them up again and compares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from flows.report.blocks import Balance, Block, Excerpt, Foreign, Grid, Heading, Row, Section, Table, Text, Words
from flows.report.charts import bar
from flows.report.facts import ReportFacts
from flows.report.wording import count, percent, plural, size
from schemas.ledger import Ledger

TOTAL = "all sources"

_Measure = Callable[[Ledger], int]


def total(ledgers: Mapping[str, Ledger]) -> Ledger:
    return sum(ledgers.values(), Ledger())


def reasons(ledger: Ledger) -> list[str]:
    """Reasons of rejects, the one with most records first."""
    return sorted(ledger.rejected, key=lambda reason: (-ledger.rejected[reason], reason))


def funnel(facts: ReportFacts) -> Section:
    everything = total(facts.ledgers)
    problems = {source: ledger.imbalances() for source, ledger in facts.ledgers.items()}
    kept, read = everything.records_kept, everything.records_read
    lead = f"Of {plural(read, 'record')} read, {count(kept)} were kept ({percent(kept / read if read else 0.0)})."
    if everything.rejected:
        first = reasons(everything)[0]
        lead += f" The most frequent reason to reject one was {first}, with {plural(everything.rejected[first], 'record')}."
    blocks: list[Block] = [*_balances(everything, problems), _waterfall(everything)]
    if len(facts.ledgers) > 1:
        blocks += [_by_source(facts.ledgers, "records", count), _by_source(facts.ledgers, "bytes", size)]
    blocks += [_inputs(facts.ledgers), *_cleaning(facts.ledgers)]
    return Section("funnel", "From raw to kept", lead, blocks)


def _balances(ledger: Ledger, problems: Mapping[str, Sequence[str]]) -> list[Block]:
    def balance(name: str, read: int, terms: Sequence[tuple[int, str]], write: Callable[[int], str], word: str) -> Balance:
        wrong = [f"{source}: {p}" for source, found in problems.items() for p in found if p.startswith((name, "reasons"))]
        return Balance(name, (write(read), word), [(write(n), what) for n, what in terms], "; ".join(wrong))

    records = [(ledger.records_kept, "kept"), (sum(ledger.rejected.values()), "rejected"), (ledger.records_failed, "failed")]
    sizes = [
        (ledger.bytes_kept, "kept"),
        (sum(ledger.bytes_rejected.values()), "rejected"),
        (ledger.bytes_failed, "failed"),
        (ledger.bytes_framing, "framing"),
    ]
    inputs = [(ledger.inputs_read, "read"), (ledger.inputs_empty, "empty"), (ledger.inputs_unreadable, "unreadable")]
    return [
        balance("records", ledger.records_read, records, count, "read"),
        balance("bytes", ledger.bytes_read, sizes, count, "read"),
        balance("inputs", ledger.inputs_listed, inputs, count, "listed"),
    ]


def _waterfall(ledger: Ledger) -> Table:
    read = max(ledger.records_read, 1)
    left = ledger.records_read
    rows = [_step("read", ledger.records_read, ledger.bytes_read, ledger, bar(0, 1, "all"), "total")]
    taken = [(r, ledger.rejected[r], ledger.bytes_rejected.get(r, 0), "gone") for r in reasons(ledger)]
    for name, records, n_bytes, class_ in [*taken, ("failed", ledger.records_failed, ledger.bytes_failed, "failed")]:
        left -= records
        rows.append(_step(f"− {name}", records, n_bytes, ledger, bar(left / read, records / read, class_), "part"))
    framing = ["", "", "", size(ledger.bytes_framing), percent(ledger.bytes_framing / max(ledger.bytes_read, 1))]
    rows.append(Row("− framing (new lines, headers)", framing, "part"))
    rows.append(_step("kept", ledger.records_kept, ledger.bytes_kept, ledger, bar(0, ledger.records_kept / read, "kept"), "total"))
    records = ledger.records_kept + sum(ledger.rejected.values()) + ledger.records_failed
    n_bytes = ledger.bytes_kept + sum(ledger.bytes_rejected.values()) + ledger.bytes_failed + ledger.bytes_framing
    cells = [_check(records, ledger.records_read, count), "", "", _check(n_bytes, ledger.bytes_read, size), ""]
    rows.append(Row("accounted for", cells, "check"))
    columns: list[str | Words] = ["", "Records", "Share", Words("Of the records read"), "Bytes", "Share"]
    note = "Bytes are of the decoded stream. Framing is what lies between records and belongs to none."
    return Table("From read to kept, all sources", columns, rows, note)


def _step(name: str, records: int, n_bytes: int, ledger: Ledger, drawn: Text, style: str) -> Row:
    shares = percent(records / max(ledger.records_read, 1)), percent(n_bytes / max(ledger.bytes_read, 1))
    return Row(name, [count(records), shares[0], drawn, size(n_bytes), shares[1]], style)


def _check(found: int, wanted: int, write: Callable[[int], str]) -> str:
    return f"{write(found)} ✓" if found == wanted else f"{write(found)} ✗ ({count(found - wanted)})"


def _matrix(
    caption: str, ledgers: Mapping[str, Ledger], lines: Iterable[tuple[str, _Measure, str]], write: Callable[[int], str], note: str = ""
) -> Table:
    """Measures down, sources across, the sum of all sources last."""
    everything = total(ledgers)
    columns = [*map(Foreign, ledgers), *([TOTAL] if len(ledgers) > 1 else [])]
    of = [*ledgers.values(), everything] if len(ledgers) > 1 else [*ledgers.values()]
    rows = [Row(name, [write(measure(ledger)) for ledger in of], style) for name, measure, style in lines]
    return Table(caption, ["", *columns], rows, note)


def _by_source(ledgers: Mapping[str, Ledger], what: str, write: Callable[[int], str]) -> Table:
    everything = total(ledgers)
    of_records = what == "records"

    def rejected(reason: str) -> _Measure:
        return lambda ledger: (ledger.rejected if of_records else ledger.bytes_rejected).get(reason, 0)

    lines: list[tuple[str, _Measure, str]] = [("read", lambda x: x.records_read if of_records else x.bytes_read, "total")]
    lines += [(f"− {reason}", rejected(reason), "part") for reason in reasons(everything)]
    lines += [("− failed", lambda x: x.records_failed if of_records else x.bytes_failed, "part")]
    if not of_records:
        lines += [("− framing", lambda x: x.bytes_framing, "part")]
    lines += [("kept", lambda x: x.records_kept if of_records else x.bytes_kept, "total")]
    return _matrix(f"{what.capitalize()} by source", ledgers, lines, write)


def _inputs(ledgers: Mapping[str, Ledger]) -> Table:
    lines: list[tuple[str, _Measure, str]] = [
        ("listed", lambda x: x.inputs_listed, "total"),
        ("read", lambda x: x.inputs_read, "part"),
        ("empty", lambda x: x.inputs_empty, "part"),
        ("unreadable", lambda x: x.inputs_unreadable, "part"),
    ]
    return _matrix("Inputs (files) by source", ledgers, lines, count)


def _cleaning(ledgers: Mapping[str, Ledger]) -> list[Table]:
    kinds = sorted(total(ledgers).cleaned, key=lambda kind: (-total(ledgers).cleaned[kind], kind))
    if not kinds:
        return []

    def cleaned(kind: str) -> _Measure:
        return lambda ledger: ledger.cleaned.get(kind, 0)

    note = "A column of its own: these bytes are part of kept records and stand in no sum above."
    lines = [(kind, cleaned(kind), "part") for kind in kinds]
    return [_matrix("Bytes that cleaning removed or changed, by kind", ledgers, lines, size, note)]


def rejects(facts: ReportFacts) -> Section | None:
    if not facts.examples:
        return None
    everything = total(facts.ledgers)
    blocks: list[Block] = []
    for reason in sorted({e.reason for e in facts.examples}, key=lambda r: (-everything.rejected.get(r, 0), r)):
        shown = [e for e in facts.examples if e.reason == reason]
        blocks.append(Heading(f"rejected as {reason}: {plural(everything.rejected.get(reason, len(shown)), 'record')}"))
        blocks.append(
            Grid(
                [
                    Excerpt(
                        "", (e.source, e.uri, f"record {e.record}", size(e.record_bytes)), _said(e.stage, e.detail), "", e.text, e.truncated
                    )
                    for e in shown
                ],
                wide=False,
            )
        )
    lead = "A few rejects of every reason, drawn by document id: as good as at random, and always the same ones."
    return Section("rejects", "What was rejected", lead, blocks)


def _said(stage: str, detail: str) -> str:
    return f"{stage}: {detail}" if detail else stage
