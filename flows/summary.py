"""The model: a *summary* is what a person reads at the terminal: at the end of a run, or of one artifact."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.progress import quantity
from flows.rejects import visible
from flows.sampling import sampled
from schemas.artifact import Artifact
from schemas.ledger import Ledger


def print_summary(outcomes: Sequence[Mapping[str, Any]]) -> None:
    """Where everything is, and the few figures that matter."""
    artifacts = {o["step"]: Artifact.open(Path(o["path"])) for o in outcomes if o["step"] != "report"}
    print()
    for o in outcomes:
        if o["step"] != "report":
            spent = f"{o['seconds']:.0f} s" if o["action"] != "reuse" else "reused"
            print(f"  {o['step']:<10} {spent:>7}  {o['path']}")
    print()
    for line in _figures(artifacts):
        print(f"  {line}")
    report = next((o["path"] for o in outcomes if o["step"] == "report"), None)
    if report:
        print(f"\n  report: {report}")


def _figures(artifacts: Mapping[str, Artifact]) -> list[str]:
    lines = []
    if "documents" in artifacts:
        total = sum(artifacts["documents"].manifest.ledgers.values(), Ledger())
        rejected = sum(total.rejected.values())
        sums = f"{total.records_kept:,} kept + {rejected:,} rejected + {total.records_failed:,} failed"
        lines.append(f"records    {total.records_read:,} read = {sums}; {quantity(total.bytes_kept, 'bytes')} kept")
        lines += [f"unreadable {line}" for line in unreadable_inputs(artifacts["documents"])]
    if "tokens" in artifacts:
        count = 0
        for part in artifacts["tokens"].manifest.parts:
            count += sum(n for subsets in part.facts["tokens"].values() for n in subsets.values())
        lines.append(f"tokens     {count:,}")
        lines += [f"an epoch   {line}" for line in sampling_lines(artifacts["tokens"])]
    if "evaluate" in artifacts:
        results = json.loads(artifacts["evaluate"].paths("results")[0].read_bytes())
        lines += evaluation_lines(results)
    return lines


def evaluation_lines(results: Mapping[str, Any]) -> list[str]:
    """Bits per byte beside the n-gram baselines by language, then the classifier beside its own."""
    lines = []
    for lang, group in (results["language_modelling"] or {"languages": {}})["languages"].items():
        systems = {name: figures["bits_per_byte"] for name, figures in group["systems"].items()}
        baselines = [
            f"{name.replace('kneser_ney_', 'Kneser-Ney order ')} {bits:.3f} ({systems['model'] / bits - 1:+.1%})"
            for name, bits in systems.items()
            if name != "model"
        ]
        lines.append(f"{lang:<10} {systems['model']:.3f} bits per byte; {', '.join(baselines)}")
    if not results["language_modelling"]:  # an encoder
        for task in results["tasks"]:
            if task["kind"] == "language_modelling":
                lines.append(f"{task['task']}: {task['systems']['model']['bits_per_byte']['value']:.3f} bits per byte of pseudo-likelihood")
    if results["classification"]:
        systems = results["classification"]["systems"]
        accuracies = [f"{name.replace('_', ' ')} {f['accuracy']:.3f} ± {f['accuracy_standard_error']:.3f}" for name, f in systems.items()]
        lines.append(f"{'labels':<10} accuracy of {', '.join(accuracies)} (n = {results['classification']['n']:,})")
    return lines


def ledger_lines(source: str, ledger: Ledger) -> list[str]:
    """The three sums of a source's ledger, the reasons one by one, what cleaning changed, and how many values were redacted."""
    rejected, rejected_bytes = sum(ledger.rejected.values()), sum(ledger.bytes_rejected.values())
    inputs = f"{ledger.inputs_read:,} read + {ledger.inputs_empty:,} empty + {ledger.inputs_unreadable:,} unreadable"
    parts = f"{ledger.bytes_kept:,} kept + {rejected_bytes:,} rejected + {ledger.bytes_failed:,} failed + {ledger.bytes_framing:,} framing"
    records = f"{ledger.records_kept:,} kept + {rejected:,} rejected + {ledger.records_failed:,} failed"
    lines = [
        source,
        f"  inputs   {ledger.inputs_listed:,} listed = {inputs}",
        f"  records  {ledger.records_read:,} read = {records}",
        f"  bytes    {ledger.bytes_read:,} read = {parts}",
    ]
    for reason, count in sorted(ledger.rejected.items(), key=lambda item: -item[1]):
        lines.append(f"    rejected {reason:<24} {count:>9,} records {ledger.bytes_rejected[reason]:>12,} bytes")
    lines += [f"    cleaned  {kind:<24} {size:>30,} bytes" for kind, size in ledger.cleaned.items()]
    lines += [f"    redacted {kind:<24} {count:>9,} values" for kind, count in ledger.redacted.items()]
    return lines


def unreadable_inputs(documents: Artifact) -> list[str]:
    """Each input that could not be read, and why."""
    return [f"{source}:{visible(uri)}: {why}" for split in documents.plan_splits() for source, uri, why in split["unreadable"]]


def encodings(documents: Artifact) -> list[str]:
    """For each source how many of its files are in which encoding, as declared or detected."""
    found: dict[str, Counter[str]] = {}
    for part in documents.manifest.parts:
        for source, counts in part.facts.get("encodings", {}).items():
            found.setdefault(source, Counter()).update(counts)
    return [f"{source}: " + ", ".join(f"{n:,} {name}" for name, n in counts.most_common()) for source, counts in found.items()]


def sampling_lines(tokens: Artifact) -> list[str]:
    """For each source and language what an epoch of training reads of it, if some is read more or less than once."""
    return [
        f"{visible(source)}/{lang}: {read:,} tokens, {read / max(count, 1):.2f} times {count:,}"
        for (source, lang), (count, read) in sampled(tokens).items()
    ]


def describe(artifact: Artifact) -> str:
    """Identity, ledger, files and facts of an artifact, for reading."""
    m = artifact.manifest
    lines = [
        artifact.reference,
        f"  path         {artifact.path}",
        f"  step         {m.identity.step}, version {m.identity.version}",
        f"  fingerprint  {m.fingerprint}",
        f"  content      {m.content_digest}",
        *(f"  input        {role} {digest[:16]}" for role, digest in m.identity.inputs.items()),
        *(f"  engine       {name} {value}" for name, value in m.identity.engines.items()),
    ]
    if m.inherits:
        inherited = len(m.parts) - len(m.own_parts)
        lines.append(f"  inherits     {inherited:,} of {len(m.parts):,} parts; of versions: {len(m.inherits):,}")
    for source, ledger in m.ledgers.items():
        lines += [f"  {'ledger' if n == 0 else '':<12} {line}" for n, line in enumerate(ledger_lines(source, ledger))]
    if artifact.kind == "documents":
        lines += [f"  encodings    {line}" for line in encodings(artifact)]
        lines += [f"  unreadable   {line}" for line in unreadable_inputs(artifact)]
    if artifact.kind == "tokens":
        lines += [f"  an epoch     {line}" for line in sampling_lines(artifact)]
    for role in dict.fromkeys(f.role for f in m.files()):
        files = m.files(role)
        rows = sum(f.rows or 0 for f in files)
        counted = f", {rows:,} rows" if rows else ""
        lines.append(f"  files        {role}: {len(files)} files, {quantity(sum(f.bytes for f in files), 'bytes')}{counted}")
    if len(m.parts) == 1:
        lines += [f"  {key:<12} {json.dumps(value, ensure_ascii=False)}" for key, value in m.parts[0].facts.items()]
    return "\n".join(lines)
