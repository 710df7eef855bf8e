"""A card tells what artifacts say, says plainly what they don't, and foreign text in it stays text."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from flows.card import CardFacts, gather_card, render_card, render_markdown
from flows.card.markdown import escaped, fenced, front_matter
from flows.cli import app
from flows.leaderboard import boards, write_page
from model.cost import cost
from schemas.errors import RequestError
from schemas.forgotten import Mark, set_mark
from schemas.recipe import Corpus, Source
from schemas.results import MODEL
from schemas.store import Store
from schemas.terms import read_terms, tell_terms
from tests.flows import cards
from tests.flows.evaluations import answers, evaluate, wanted
from tests.flows.test_report_page import Page

ATTACK = '"><script>alert(1)</script>\n---\nlicense: mit\n---\n# owned [x](http://evil) `|`\u202e'


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def whole(store: Store) -> CardFacts:
    """Of a fine-tuned model with all there is."""
    model = cards.finetuned(store, cards.pretrained(store, cards.documents(store)))
    truth = wanted(400)
    evaluate(store, model, {"sentiment": {MODEL: answers(0.9, truth, 1), "majority": ["neg"] * 400}}, truth, role="finetune")
    return gather_card(store, model, [cards.probe(store.root / "probe.json", model)])


def test_a_card_has_every_figure_and_says_what_is_missing(store: Store) -> None:
    text = render_markdown(whole(store)).replace("\\", "").replace("\u202f", " ")
    for said in (
        "Of 200 records in 2 sources, 180 were kept. The licence of 1 source is told, of 1 source it is not.",
        "| notes | CC0-1.0 | https://example.org/notes |",
        "| letters | not told | not told |",
        "| notes | 100 | 90 | 9 | 1 | 4.50 kB |",
        "| min_words | 9 | 9 | 18 |",
        "The seed that was kept has accuracy 0.820 ± 0.020 on the test subset.",
        "| mean |  | 0.810 | 0.790 |",
        "| deviation |  | 0.010 | 0.000 |",
        "1 example was dropped",
        "It is better than the best baseline, majority, by accuracy",
        "bias-en: probe, version 1",
        "Not measured: verbatim memorisation of training text",
        "| Tokens | 38,400 | facts |",
        "| Peak memory of a rank | 2.00 MB | run.json |",
        "Energy of pretrain: estimated: 2 CPUs at",
        "The licence is not told of: letters.",
        "AutoModelForSequenceClassification.from_pretrained",
        "Its labels: negative, positive.",
        "letters: 0 inputs could not be read, 1 record failed.",
        "| train | " + "f" * 64 + " |",
    ):
        assert said in text, said
    for node in whole_lineage(store):
        assert node in text
    assert str(store.root) not in text


def whole_lineage(store: Store) -> list[str]:
    found = [*store.artifacts("documents"), *store.artifacts("model")]
    return [text for one in found for text in (one.reference, one.manifest.content_digest)]


def test_the_cost_is_that_of_the_probe_and_tells_its_assumption(store: Store) -> None:
    model = cards.pretrained(store, cards.documents(store))
    facts, known = gather_card(store, model), cost(model)
    assert facts.spent == {"pretrain": known} and known.operations and known.kilowatt_hours
    text = render_markdown(facts).replace("\\", "")
    assert f"| Operations | {known.operations:.3g} |" in text and known.assumption in text
    bare = gather_card(store, cards.pretrained(Store(store.root / "other"), cards.documents(store), seconds=None))
    assert bare.spent["pretrain"].kilowatt_hours is None and "not estimated" in render_markdown(bare)


def test_what_probes_kept_of_these_contents_stands_on_the_card(store: Store) -> None:
    documents = cards.documents(store)
    older = cards.pretrained(store, documents)
    made = {task: cards.kept(store, older, task) for task in cards.FOUND}
    text = render_markdown(gather_card(store, older)).replace("\\", "").replace("\u202f", " ")
    for task, evaluation in made.items():
        at = evaluation.version
        when = f"{at[:4]}-{at[4:6]}-{at[6:8]} {at[9:11]}:{at[11:13]} UTC"
        where = f"From {evaluation.reference}, made {when} of contents {older.manifest.content_digest[:12]}."
        assert f"{task}: probe, version 1" in text and where in text
    for row in (
        "| gender widest gap | 0.028 | 0.007 to 0.046 |",
        "| Frauen | 0.580 | +0.100 | +0.080 to +0.120 |",
        "| 花与昆虫（对照） | +0.60 | 0.1200 |",
        "| mean of all | −0.200 |",
        "| in spans, of texts that go on from documents | 50.0 % |",
        "| longest match of a text, median | 3.5 tokens |",
        "| 8 documents | 2 | 8.00 | 16.00 |",
        "| email | 2 |",
    ):
        assert row in text, row
    assert "Not measured: " not in text.partition("## Bias")[2].partition("## Cost")[0] and "a text of somebody's" not in text
    newer = cards.pretrained(store, documents, seconds=None, steps=301)
    assert newer.name == older.name and newer.manifest.content_digest != older.manifest.content_digest
    text = render_markdown(gather_card(store, newer))
    assert "Nothing of what people worry about was measured" in text and "probe-" not in text


def test_the_newest_of_a_question_counts(store: Store) -> None:
    model = cards.pretrained(store, cards.documents(store))
    first, second = cards.kept(store, model, "harm"), cards.kept(store, model, "harm", setting=1)
    facts = gather_card(store, model)
    assert [one.where.startswith(second.reference) for one in facts.probes] == [True] and facts.older == 1
    assert first.reference not in render_markdown(facts)


def test_equal_artifacts_give_an_equal_card(store: Store, tmp_path: Path) -> None:
    first = whole(store)
    shutil.copytree(store.root, tmp_path / "copy")
    copy = Store(tmp_path / "copy")
    again = gather_card(copy, copy.find("model/demo-sentiment"), [copy.root / "probe.json"])
    assert render_markdown(first) == render_markdown(again) and render_card(first) == render_card(again)


def test_what_was_not_told_is_said(store: Store) -> None:
    model = cards.pretrained(store, cards.documents(store, license=None))
    text = render_markdown(gather_card(store, model))
    for said in ("Not measured: no evaluation of it", "Nothing of what people worry about was measured", "It was not evaluated"):
        assert said in text
    set_mark(model.path, Mark("documents/demo@later", 0))
    assert "was made from documents that were forgotten" in render_markdown(gather_card(store, model)).replace("\\", "")
    for documents in list(store.artifacts("documents")):
        shutil.rmtree(documents.path)
    assert "What it was pretrained on is not known here." in render_markdown(gather_card(store, model))


def hostile(facts: CardFacts) -> CardFacts:
    """Foreign text wherever a card takes some."""
    told = {**facts.facts, "labels": [ATTACK], "n": {"train": {ATTACK: 3}}, "examples": {"notes": [ATTACK]}}
    run = replace(facts.run, name=ATTACK, ledgers={ATTACK: cards.LEDGER}, lineage=tuple(replace(n, name=ATTACK) for n in facts.run.lineage))
    assert facts.run.finetune is not None
    run = replace(run, finetune=replace(facts.run.finetune, summary={**told, "task": {"name": ATTACK, "kind": ATTACK, "version": 1}}))
    found = [replace(one, result=replace(one.result, task=ATTACK, kind=ATTACK, notes=(ATTACK,))) for one in (*facts.found, *facts.probes)]
    config = {**facts.config, "id2label": {"0": ATTACK}, "architectures": [*facts.config["architectures"], ATTACK]}
    return replace(
        facts,
        reference=ATTACK,
        facts=told,
        run=run,
        config=config,
        found=tuple(found),
        probes=tuple(found),
        terms={ATTACK: {"license": ATTACK}},
    )


def test_foreign_text_makes_no_markup_and_no_key(store: Store) -> None:
    facts = hostile(whole(store))
    text = render_markdown(facts)
    _, head, body = text.split("---\n", 2)
    read = yaml.safe_load(head)
    assert read["license"] == "unknown" and set(read) == set(front_matter(facts))
    assert read["model-index"][0]["name"].startswith('"><script>alert(1)</script> --- license: mit')
    outside = re.sub(r"^(`{3,})\n.*?^\1$", "", body, flags=re.DOTALL | re.MULTILINE)
    assert not re.search(r"(?<!\\)<script|(?<!\\)\[x|^#+ owned|(?<!\\)http://|\u202e|(?<!\\)`", outside, re.MULTILINE)
    page = Page(render_card(facts))
    assert page.of("script") == [{}] and "<script>alert(1)</script>" in page.shown()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_code_is_fenced_whatever_it_holds(text: str) -> None:
    lines = fenced(text).splitlines()
    assert lines[0] == lines[-1] and not any(line.strip() == lines[0] for line in lines[1:-1])


@given(st.text(alphabet="`*_[]<>&|~$#@\\:/.-+=1w \n"))
def test_escaped_text_is_one_line_and_reads_the_same(text: str) -> None:
    out = escaped(text)
    assert "\n" not in out and re.sub(r"\\(.)", r"\1", out) == " ".join(text.split())
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]<>&|~$#@]", out)


def test_hugging_face_reads_the_front_matter(store: Store, tmp_path: Path) -> None:
    facts = whole(store)
    (tmp_path / "README.md").write_text(render_markdown(facts))
    read = ModelCard.load(tmp_path / "README.md").data
    assert read.library_name == "transformers" and read.pipeline_tag == "text-classification" and read.license == "unknown"
    result = next(one for one in read.eval_results or [] if one.metric_type == "accuracy")
    assert result.metric_value == pytest.approx(facts.found[0].result.systems[MODEL]["accuracy"].value, abs=1e-6)


def test_the_command_writes_beside_the_store_and_the_leaderboard_links_there(store: Store, tmp_path: Path) -> None:
    whole(store)

    def run(*arguments: str) -> str:
        return CliRunner().invoke(app, ["card", *arguments, "--store", str(store.root)], catch_exceptions=False).stdout.strip()

    path = json.loads(run("demo-sentiment", "--json"))["path"]
    assert path == str(tmp_path / "cards" / "demo-sentiment.html")
    write_page(tmp_path / "reports" / "board.html", boards(store), store)
    assert 'href="../cards/demo-sentiment.html"' in (tmp_path / "reports" / "board.html").read_text()
    out = tmp_path / "card.md"
    assert run("model/demo", "--out", str(out)) == str(out) and out.read_text().startswith("---\n")
    with pytest.raises(RequestError, match=r"ends in \.md or \.html"):
        run("demo", "--out", str(tmp_path / "card.pdf"))
    with pytest.raises(RequestError, match="is no model"):
        run("documents/demo")
    other = cards.probe(tmp_path / "other.json", store.find("model/demo"))
    with pytest.raises(RequestError, match="is about model/demo@"):
        run("demo-sentiment", "--probe", str(other))
    told = json.loads(cards.probe(other, store.find("model/demo")).read_text())
    for wrong in ({}, {**told, "details": []}, {**told, "details": {"dimensions": [1]}}, {**told, "details": None}):
        other.write_text(json.dumps(wrong))
        with pytest.raises(RequestError, match="is not what `gristmill probe"):
            run("demo", "--probe", str(other))


def test_the_cost_that_a_file_tells_stands_among_the_costs(store: Store, tmp_path: Path) -> None:
    model = cards.pretrained(store, cards.documents(store))
    file = cards.probe(tmp_path / "cost.json", model, "cost")
    told = {**json.loads(file.read_text()), "details": {**cost(model).as_json(), "seconds": 5432.1}}
    file.write_text(json.dumps(told))
    text = render_markdown(gather_card(store, model, [file]))
    assert "5,432.1" in text.partition("## Cost")[2] and "Nothing of what people worry about was measured" in text
    file.write_text(json.dumps({**told, "details": {}}))
    with pytest.raises(RequestError, match="is not what `gristmill probe"):
        gather_card(store, model, [file])


def test_terms_decide_nothing(tmp_path: Path) -> None:
    from pipelines.corpus import identity_settings

    plain = Source(name="a", path="x", format="txt")
    told = Source(name="a", path="x", format="txt", license="MIT", url="https://example.org")
    assert identity_settings(Corpus(sources=(plain,))) == identity_settings(Corpus(sources=(told,)))
    tell_terms(tmp_path, [plain])
    assert not list(tmp_path.iterdir()), "nothing is written of what was not told"
    tell_terms(tmp_path, [told])
    assert read_terms(tmp_path) == {"a": {"license": "MIT", "url": "https://example.org"}}
    tell_terms(tmp_path, [plain])
    assert read_terms(tmp_path) == {}, "the recipe's last word counts"
    for wrong in ("https://a b", "javascript:alert(1)", "https://a<b"):
        with pytest.raises(ValueError, match="url"):
            Source(name="a", path="x", format="txt", url=wrong)
