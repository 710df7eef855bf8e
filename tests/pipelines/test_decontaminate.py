"""The documents step with a contaminated source: exact rejects, a ledger that balances, an identity that follows the files' content."""

import json
from pathlib import Path

import pytest

from pipelines import corpus
from pipelines.job import Job
from pipelines.runners import run_in_process
from pipelines.sources import InputChanged
from schemas.errors import RequestError
from schemas.recipe import Corpus, Decontaminate, EvaluationSet, Harmful
from tests.pipelines.drafts import digests, ledgers, make, rows, run_command, source, start, texts

QUESTIONS = [
    {"id": "q1", "q": "Which river runs past the old brewery and feeds the mill pond that the town was named after?"},
    {"id": "q2", "q": "生命数耗完即算为什么，以及每次泡封会减少多少生命数，请说明理由？"},
    {
        "id": "q3",
        "q": "def area(width, height):\n    total = width * height\n    if total < 0:\n        raise ValueError\n    return total",
    },
]
CLEAN = [
    "A note about nothing in particular, which is long enough to hold many words that nobody asks for.",
    "这家酒店的房间很大，服务也不错，早餐的种类很多，下次还会再来住。",
]


def write(folder: Path) -> tuple[dict[str, Path], Path]:
    """A source of JSON lines with three contaminated documents among clean ones, and the set of questions."""
    folder.mkdir()
    lines = []
    for n in range(12):
        lines.append({"text": f"{n}. {CLEAN[n % 2]}", "n": n})
        if n % 4 == 1:
            planted = QUESTIONS[n // 4]["q"].upper().replace(" ", "  ").replace("，", ",")
            lines.append({"text": f"Seen before {n}!\n{planted}\nThat was it 就是这样。", "n": 100 + n})
    (folder / "web.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    (folder / "questions.jsonl").write_text("".join(json.dumps(q, ensure_ascii=False) + "\n" for q in QUESTIONS))
    return {"web": folder / "web.jsonl"}, folder / "questions.jsonl"


def recipe(questions: Path, **changes: object) -> Corpus:
    section = Decontaminate(sets=(EvaluationSet(name="quiz", path=str(questions), format="jsonl", fields=("q",)),), **changes)
    return Corpus(sources=(source("web", format="jsonl", lang=None),), decontaminate=section, split_bytes=700)


def test_contaminated_documents_are_rejected_by_name(tmp_path: Path) -> None:
    roots, questions = write(tmp_path / "in")
    draft = make(tmp_path / "draft", recipe(questions), roots)
    assert len(draft.plan["splits"]) > 2
    rejects = rows(draft, "rejects")
    assert [(reject["stage"], reject["reason"]) for reject in rejects] == [("decontaminate", "contaminated")] * 3
    assert [reject["detail"] for reject in rejects] == [
        "quiz q1 q: 6 of 6 grams (1.00)", "quiz q2 q: 10 of 10 grams (1.00)", "quiz q3 q: 2 of 2 grams (1.00)",
    ]  # fmt: skip
    assert len(texts(draft)) == 12 and not any("Seen before" in text for text in texts(draft))
    assert ledgers(draft)["web"].rejected == {"contaminated": 3}
    assert ledgers(draft)["web"].bytes_rejected == {"contaminated": sum(reject["record_bytes"] for reject in rejects)}


def test_items_are_cut_out_and_the_bytes_counted(tmp_path: Path) -> None:
    roots, questions = write(tmp_path / "in")
    draft, plain = (
        make(tmp_path / name, chosen, roots) for name, chosen in (("draft", recipe(questions, action="cut")), ("plain", plain_recipe()))
    )
    assert [text for text in texts(draft) if "Seen" in text][1] == "Seen before 5!\n？\nThat was it 就是这样。"
    assert len(texts(draft)) == 15 and ledgers(draft)["web"].rejected == {}
    removed = sum(len(text.encode()) for text in texts(plain)) - sum(len(text.encode()) for text in texts(draft))
    assert ledgers(draft)["web"].cleaned == {"contaminated": removed}
    assert [row["clean_is_identity"] for row in rows(draft, "documents") if "Seen" in row["text"]] == [False] * 3
    lone = tmp_path / "in" / "lone.jsonl"
    lone.write_text(json.dumps({"text": QUESTIONS[0]["q"]}) + "\n")
    alone = make(tmp_path / "alone", recipe(questions, action="cut"), {"web": lone})
    assert [reject["detail"] for reject in rows(alone, "rejects")] == ["nothing is left of it without quiz q1 q: 6 of 6 grams (1.00)"]


def plain_recipe() -> Corpus:
    return Corpus(sources=(source("web", format="jsonl", lang=None),), split_bytes=700)


def test_flagged_documents_are_kept_with_the_items_in_extra(tmp_path: Path) -> None:
    roots, questions = write(tmp_path / "in")
    draft, plain = (
        make(tmp_path / name, chosen, roots) for name, chosen in (("draft", recipe(questions, action="flag")), ("plain", plain_recipe()))
    )
    assert texts(draft) == texts(plain)
    flagged = [extra for row in rows(draft, "documents") if "contaminated" in (extra := json.loads(row["extra"]))]
    assert flagged == [
        {"n": n, "contaminated": [{"item": f"quiz {q} q", "share": 1.0}]} for n, q in ((101, "q1"), (105, "q2"), (109, "q3"))
    ]
    assert [row["flags"] for row in rows(draft, "documents") if "Seen" in row["text"]] == [["contaminated"]] * 3
    assert sum(map(len, (row["flags"] for row in rows(draft, "documents")))) == 3


def test_one_column_has_all_flags_of_a_document(tmp_path: Path) -> None:
    roots, questions = write(tmp_path / "in")
    (tmp_path / "words.txt").write_text("seen\nnotes\n")
    harmful = Harmful(own_lists=False, lists={"default": (str(tmp_path / "words.txt"),)}, max_score=0.001)
    settings = recipe(questions, action="flag").model_copy(update={"harmful": harmful})
    found = [row["flags"] for row in rows(make(tmp_path / "draft", settings, roots), "documents") if "Seen" in row["text"]]
    assert found == [["contaminated", "harmful"]] * 3


def test_a_share_that_is_asked_for_decides(tmp_path: Path) -> None:
    roots, questions = write(tmp_path / "in")
    half = " ".join(QUESTIONS[0]["q"].split()[:15])  # 3 of 6 grams
    (tmp_path / "in" / "web.jsonl").write_text(json.dumps({"text": half}) + "\n")
    for share, kept in ((0.0, 0), (0.5, 0), (0.51, 1)):
        draft = make(tmp_path / f"draft{share}", recipe(questions, min_share=share), roots)
        assert len(texts(draft)) == kept


@pytest.mark.slow
def test_workers_and_splits_do_not_show(tmp_path: Path) -> None:
    roots, questions = write(tmp_path / "in")
    one = make(tmp_path / "one", recipe(questions), roots)
    two = start(tmp_path / "two", recipe(questions), roots, workers=2)
    ended = run_command(two)
    assert ended.returncode == 0, ended.stderr
    assert digests(one) == digests(two)
    whole = make(tmp_path / "whole", recipe(questions).model_copy(update={"split_bytes": 1 << 20}), roots)
    assert [rows(whole, role) for role in ("documents", "rejects")] == [rows(one, role) for role in ("documents", "rejects")]


def test_the_identity_follows_the_content_of_the_files_and_nothing_else_of_them(tmp_path: Path) -> None:
    _, questions = write(tmp_path / "in")
    elsewhere = tmp_path / "moved.jsonl"
    elsewhere.write_bytes(questions.read_bytes())
    here, there = recipe(questions), recipe(elsewhere)
    assert corpus.identity_settings(here) == corpus.identity_settings(there)
    assert corpus.evaluation_digests(here) == corpus.evaluation_digests(there)
    elsewhere.write_text(elsewhere.read_text().replace("river", "brook"))
    assert corpus.evaluation_digests(here) != corpus.evaluation_digests(there)
    assert "decontaminate" not in corpus.identity_settings(plain_recipe())
    assert corpus.evaluation_digests(plain_recipe()) == {}


def test_a_file_that_changed_since_it_was_planned_is_refused(tmp_path: Path) -> None:
    roots, questions = write(tmp_path / "in")
    draft = start(tmp_path / "draft", recipe(questions), roots)
    questions.write_text(json.dumps(QUESTIONS[0]) + "\n")
    with pytest.raises(InputChanged, match=r"evaluation set 'quiz': .*questions\.jsonl: is not the file"):
        run_in_process(Job.open(draft.path))
    with pytest.raises(RequestError, match="No such file"):
        start(tmp_path / "other", recipe(tmp_path / "none.jsonl"), roots)


@pytest.mark.slow
def test_a_bad_file_ends_the_job_with_one_message(tmp_path: Path) -> None:
    roots, questions = write(tmp_path / "in")
    questions.write_text('{"q": 5}\n')
    ended = run_command(start(tmp_path / "draft", recipe(questions), roots))
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ") and "questions.jsonl: row 1: key 'q' holds a number, not text" in ended.stderr
