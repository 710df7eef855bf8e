"""The model: a *summary* is what a person reads at the terminal: at the end of a run, or of one artifact."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.progress import quantity
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
    if "tokens" in artifacts:
        count = 0
        for part in artifacts["tokens"].manifest.parts:
            count += sum(n for subsets in part.facts["tokens"].values() for n in subsets.values())
        lines.append(f"tokens     {count:,}")
    if "evaluate" in artifacts:
        results = json.loads(artifacts["evaluate"].paths("results")[0].read_bytes())
        lines += evaluation_lines(results)
    return lines


def evaluation_lines(results: Mapping[str, Any]) -> list[str]:
    """Bits per byte beside the n-gram baselines by language, then the classifier beside its own."""
    lines = []
    for lang, group in results["language_modelling"]["languages"].items():
        systems = {name: figures["bits_per_byte"] for name, figures in group["systems"].items()}
        baselines = [
            f"{name.replace('kneser_ney_', 'Kneser-Ney order ')} {bits:.3f} ({systems['model'] / bits - 1:+.1%})"
            for name, bits in systems.items()
            if name != "model"
        ]
        lines.append(f"{lang:<10} {systems['model']:.3f} bits per byte; {', '.join(baselines)}")
    if results["classification"]:
        systems = results["classification"]["systems"]
        accuracies = [f"{name.replace('_', ' ')} {f['accuracy']:.3f} ± {f['accuracy_standard_error']:.3f}" for name, f in systems.items()]
        lines.append(f"{'labels':<10} accuracy of {', '.join(accuracies)} (n = {results['classification']['n']:,})")
    return lines


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
    for source, ledger in m.ledgers.items():
        lines.append(f"  ledger       {source}: {ledger.records_read:,} read = {ledger.records_kept:,} kept")
        lines += [f"                 + {n:,} {reason}" for reason, n in sorted(ledger.rejected.items(), key=lambda r: -r[1])]
        if ledger.records_failed:
            lines.append(f"                 + {ledger.records_failed:,} failed")
    for role in dict.fromkeys(f.role for f in m.files()):
        files = m.files(role)
        rows = sum(f.rows or 0 for f in files)
        counted = f", {rows:,} rows" if rows else ""
        lines.append(f"  files        {role}: {len(files)} files, {quantity(sum(f.bytes for f in files), 'bytes')}{counted}")
    if len(m.parts) == 1:
        lines += [f"  {key:<12} {json.dumps(value, ensure_ascii=False)}" for key, value in m.parts[0].facts.items()]
    return "\n".join(lines)
