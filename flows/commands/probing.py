"""The model: `gristmill probe` asks a model what people worry about, and `gristmill explain` draws what it makes of a text. Each prints for
people, or with `--json` one value: a `Result` (`schemas.results`) and details. What a probe found is kept: who asks the same again is told
that."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands.models import Model, printable
from flows.commands.options import AsJson, StoreOption, Tongue, TongueOption, open_store, print_json

if TYPE_CHECKING:
    from flows.probing.asked import Asked
    from flows.probing.kept import Kept
    from schemas.artifact import Artifact
    from schemas.store import Store

app = typer.Typer()
probe = typer.Typer(
    help="Ask a model what people worry about: what it knows by heart, whom it treats how, what it writes.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Seed = Annotated[int, typer.Option(help="Equal seeds ask the same.")]
MaxTokens = Annotated[int, typer.Option("--max-tokens", min=1, help="Tokens of each text at the most.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads to compute with.")]
Lang = Annotated[str, typer.Option(help="en, zh, or a YAML file of templates.", metavar="LANG")]


def _find(model: str, store: str | None) -> Artifact:
    return open_store(store).find(model if "/" in model else f"model/{model}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _kept(store: Store, model: Artifact, asked: Asked, threads: int = 1, tokens: Artifact | None = None, file: str = "") -> Kept:
    """What a probe finds, or found when it was asked before; where that is kept is told beside it."""
    from flows.probing.kept import kept_in
    from flows.probing.step import probe_model
    from schemas.recipe import Run

    outcome = probe_model(store, model, asked, Run(threads_per_rank=threads), _say, tokens, file)
    if outcome.action != "reuse":
        _say(f"  kept as {outcome.artifact.reference}")
    return kept_in(outcome.artifact)


def _told(found: Kept, model: Artifact, as_json: bool, lines: Iterable[str]) -> None:
    """Print a probe's report: figures with their intervals, what a probe adds in lines, and what a reader must know."""
    from schemas.results import MODEL

    if as_json:
        print_json(found.as_json(model.reference))
        return
    print(model.reference)
    measures = found.result.systems[MODEL]
    width = max(map(len, measures))
    for name, one in measures.items():
        between = f"  ({one.interval[0]:.4f} to {one.interval[1]:.4f})" if one.interval else ""
        print(printable(f"  {name:<{width}}  {one.value:.4f}{between}  {one.signature}"))
    for line in lines:
        print(printable(line))
    for note in found.result.notes:
        print(f"note: {note}")


@app.command(epilog='Example: gristmill explain demo "If the function raises an" --out page.html')
def explain(
    model: Model,
    text: Annotated[str, typer.Argument(help="What the model reads; for an encoder with one mask.", metavar="TEXT")],
    out: Annotated[Path, typer.Option(help="HTML file to write.", metavar="FILE")],
    target: Annotated[str | None, typer.Option(help="Explain this token, and not the likeliest.", metavar="TEXT")] = None,
    lang: TongueOption = Tongue.en,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Draw what a model makes of a text: what each token adds, what each layer would say, where attention goes."""
    from flows.explain import write_page
    from model.probes.explain import explain as explained
    from schemas.errors import RequestError

    found = _find(model, store)
    if not out.parent.is_dir():
        raise RequestError(f"--out {out}: there is no folder {out.parent}")
    try:
        explanation = explained(found.path, text, target)
    except ValueError as error:
        raise RequestError(f"{found.reference}: {error}") from error
    write_page(out, explanation, found.reference, lang.value)
    shares = explanation.attributions
    if as_json:
        expected = [{"token": one.token, "probability": one.probability} for one in explanation.expected]
        adds = [{"token": token, "nats": nats} for token, nats in zip(explanation.tokens, shares.tokens, strict=True)]
        print_json({"model": found.reference, "path": str(out), "target": explanation.target, "expected": expected, "adds": adds})
        return
    print(out)


@probe.command(epilog="Example: gristmill probe memorisation demo --samples 64")
def memorisation(
    model: Model,
    tokens: Annotated[str | None, typer.Option(help="Tokens to search; those that it was trained on, unless told.", metavar="NAME")] = None,
    samples: Annotated[int, typer.Option(min=2, help="Texts: half go on from training documents, half from nothing.")] = 64,
    prefix: Annotated[int, typer.Option(min=1, help="Tokens of a document to go on from.")] = 32,
    max_tokens: MaxTokens = 128,
    at_least: Annotated[int, typer.Option(min=1, help="Tokens of a verbatim span.")] = 50,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.0,
    seed: Seed = 0,
    threads: Threads = 1,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """How much of what a model writes stands word by word in its training text."""
    from flows.probing.asked import Memorisation
    from flows.probing.kept import quoted
    from flows.probing.step import training_tokens

    opened, found = open_store(store), _find(model, store)
    searched = training_tokens(opened, found, tokens)
    asked = Memorisation(samples=samples, prefix=prefix, max_tokens=max_tokens, at_least=at_least, temperature=temperature, seed=seed)
    told = _kept(opened, found, asked, threads, searched)
    told = replace(told, details={"tokens": searched.reference, **quoted(told.details, searched, found)})
    details = told.details
    lines = [
        f"  {details['generated']:,} tokens in {told.result.n:,} texts, looked for among {details['searched']:,} of {details['tokens']}",
        *(f"  inside spans, {kind}: {rate:.4f}" for kind, rate in details["rate_by_prompt"].items()),
        f"  longest match of a text: {details['median_longest']:g} tokens in the median",
    ]
    if longest := details["longest"]:
        lines.append(f"  longest of all: {longest['tokens']} tokens, document {longest['doc_id']}: {_line(longest['text'])}")
    _told(told, found, as_json, lines)


def _line(text: str) -> str:
    return " ".join(text.split())[:160]


@probe.command(epilog="Example: gristmill probe canaries planted --count 20 --copies 8")
def canaries(
    folder: Annotated[Path, typer.Argument(help="A new folder.", metavar="DIR")],
    count: Annotated[int, typer.Option(min=1, help="Canaries of each language that are planted, and as many that are not.")] = 10,
    copies: Annotated[int, typer.Option(min=1, help="Documents that each stands in.")] = 8,
    lang: Annotated[list[str] | None, typer.Option(help="en or zh; both, unless told.")] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Write sentences with made-up secrets as a source for a corpus, to measure later what a model knows of them."""
    from model.probes.canaries import SENTENCE, plant
    from model.probes.canaries import canaries as make
    from schemas.errors import RequestError

    langs = lang or list(SENTENCE)
    if unknown := [one for one in langs if one not in SENTENCE]:
        raise RequestError(f"--lang {unknown[0]}: want {' or '.join(SENTENCE)}")
    made = [canary for one in langs for canary in make(seed, 2 * count, one, copies)]  # type: ignore[arg-type]
    planted = [canary if number % (2 * count) < count else canary.unplanted() for number, canary in enumerate(made)]
    source, told = plant(folder, planted, seed)
    if as_json:
        print_json({"source": str(source), "planted": str(told), "documents": count * copies * len(langs), "canaries": len(planted)})
        return
    print(f"{source}: {count * copies * len(langs):,} documents; add it to a recipe's sources:")
    print(f"    - {{name: canaries, path: {source.parent}, format: jsonl, origin: text}}")
    print(f"then: gristmill probe exposure MODEL {folder}")


@probe.command(epilog="Example: gristmill probe exposure demo planted")
def exposure(
    model: Model,
    folder: Annotated[Path, typer.Argument(help="That `gristmill probe canaries` wrote.", metavar="DIR")],
    drawn: Annotated[int, typer.Option(min=10, help="Other secrets that each canary's is ranked among.")] = 1000,
    seed: Seed = 0,
    threads: Threads = 1,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """How well a model knows the canaries that were planted in its corpus, and those that were not."""
    from flows.probing.asked import Exposure
    from flows.probing.step import PLANTED_FILE

    found = _find(model, store)
    told = _kept(open_store(store), found, Exposure(drawn=drawn, seed=seed), threads, file=str(folder / PLANTED_FILE))
    rows = told.details["canaries"]
    lines = [f"  {'sampled':>9} {'estimated':>9} {'rank':>6} {'copies':>6}  canary"]
    lines += [f"  {r['sampled']:>9.2f} {r['estimated']:>9.2f} {r['rank']:>6} {r['canary']['copies']:>6}  {r['text']}" for r in rows]
    _told(told, found, as_json, lines)


@probe.command(epilog="Example: gristmill probe bias demo --lang zh")
def bias(
    model: Model,
    lang: Lang = "en",
    positive: Annotated[str | None, typer.Option(help="The good label of a classifier.", metavar="LABEL")] = None,
    threads: Threads = 1,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Whether a classifier's answers, a model's pronouns, or its vectors of words depend on who is meant."""
    from flows.probing.asked import Bias
    from model.probes.templates import LANGUAGES, templates

    templates(lang)  # a file of one's own is looked at before anything is begun
    found, ships = _find(model, store), lang in LANGUAGES
    asked = Bias.model_validate({"lang": lang if ships else "own", "positive": positive})  # where a file lies is not of a result
    told = _kept(open_store(store), found, asked, threads, file="" if ships else lang)
    _told(told, found, as_json, _gap_lines(told.details) if "dimensions" in told.details else _lean_lines(told.details))


def _gap_lines(details: Any) -> list[str]:
    lines = [f"  probability of {details['positive']}, and what naming a group adds to it:"]
    for dimension in details["dimensions"]:
        lines.append(f"  {dimension['name']}")
        for one in dimension["gaps"]:
            low, high = one["interval"]
            lines.append(f"    {one['probability']:.4f}  {one['gap']:+.4f} ({low:+.4f} to {high:+.4f})  {one['group']}")
    return lines


def _lean_lines(details: Any) -> list[str]:
    lines = []
    if told := details.get("occupations"):
        low, high = told["interval"]
        lines.append(f"  nats a token, sentences with the male pronoun minus female: {told['mean']:+.4f} ({low:+.4f} to {high:+.4f})")
        lines += [f"    {one['nats_per_token']:+.4f}  {one['occupation']}" for one in (*told["occupations"][:5], *told["occupations"][-5:])]
    for one in details["associations"]:
        lines.append(f"  effect {one['effect']:+.2f}, p {one['p']:.4f}{'' if one['exact'] else ' (sampled)'}  {one['name']}")
    return lines


@probe.command(epilog="Example: gristmill probe harm demo --samples 8")
def harm(
    model: Model,
    samples: Annotated[int, typer.Option(min=1, help="Texts for each of 32 beginnings.")] = 4,
    max_tokens: MaxTokens = 64,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.8,
    seed: Seed = 0,
    threads: Threads = 1,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """How often a model writes listed harmful terms, or what looks like personal data, after harmless beginnings."""
    from flows.probing.asked import Harm
    from schemas.errors import RequestError

    if temperature == 0 and samples > 1:
        raise RequestError(f"--temperature 0 --samples {samples}: texts from one beginning would be the same: give --samples 1")
    found = _find(model, store)
    told = _kept(open_store(store), found, Harm(samples=samples, max_tokens=max_tokens, temperature=temperature, seed=seed), threads)
    counts = {**told.details["harmful"], **told.details["personal_data"]}
    lines = [f"  {told.result.n:,} texts", *(f"    {n:>5}  {name}" for name, n in counts.items())]
    lines += [f"  {one['prompt']} … {_line(one['text'])}" for one in told.details["examples"]]
    _told(told, found, as_json, lines)


@probe.command(epilog="Example: gristmill probe cost demo")
def cost(
    model: Model,
    watts: Annotated[float, typer.Option(min=0.0, help="Assumed of a busy CPU.")] = 5.0,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """What training a model took: operations, tokens, time, memory, and an estimate of energy."""
    from flows.probing.asked import Cost

    found = _find(model, store)
    kept = _kept(open_store(store), found, Cost(watts=watts))
    if as_json:
        print_json(kept.as_json(found.reference))
        return
    told = kept.details
    print(found.reference)
    figures = [
        (told["operations"], "{:.3g} floating-point operations"),
        (told["tokens"], "{:,} tokens"),
        (told["seconds"], "{:,.0f} s"),
        (told["peak_bytes"] and told["peak_bytes"] / 1e6, "{:,.0f} MB at the peak of the first rank"),
        (told["utilization"], "{:.0%} of the machine's matrix products"),
        (told["kilowatt_hours"], "{:.4g} kWh"),
    ]
    for value, form in figures:
        print("  " + (form.format(value) if value is not None else form.split("}", 1)[1].strip() + ": not known"))
    print(f"  energy {told['assumption']}")
