"""Names stay one part of a path, and secrets stay out of recipes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.champion import begin_reign, history
from schemas.errors import RequestError
from schemas.fingerprint import Identity
from schemas.recipe import Source
from schemas.recipe.names import CHALLENGER, FINETUNED, GATE, SEEDS, maker_of
from schemas.recipe.section import is_name
from schemas.recipe_file import RecipeError, load_recipe
from schemas.store import NotFound, Store

NASTY = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["..", ".", "", "/etc/passwd", "../../x", "a/../..", "a/b", "a\\..\\b", "a\0b", "~root", "-rf", ".leases", "a\n", "．．"]
    ),
    st.lists(st.sampled_from(["..", "/", "a", ".", "\\", "%2e", "\u2215", "@"]), max_size=6).map("".join),
)


@given(NASTY)
def test_a_name_is_one_plain_part_of_a_path(name: str) -> None:
    if is_name(name):
        assert Path(name).name == name and name not in (".", "..") and name.isascii() and name.isprintable()
        assert (Path("/store") / name).resolve().parent == Path("/store")


@given(name=NASTY, kind=st.one_of(st.sampled_from(["model", "documents"]), NASTY))
def test_no_name_leads_out_of_a_store(name: str, kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("place")
    store = Store(place / "deep" / "store")
    for work in (
        lambda: store.find(f"{kind}/{name}"),
        lambda: store.start(kind, name, Identity("model", 1, {}, {}, {})),
        lambda: begin_reign(store.root, name, 0, {}, {}, "first", "it is"),
        lambda: history(store.root, name),
    ):
        try:
            work()
        except RequestError:
            continue
        assert is_name(name)
    outside = [path for path in place.rglob("*") if path.is_file() and store.root not in path.parents]
    assert outside == []


def test_a_reference_with_a_path_in_it_is_none(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for reference in ("model/../model", "model/..", "../store/model/x", "model//x", "model/x/y", "model/x@../../y"):
        with pytest.raises(NotFound):
            Store(tmp_path).find(reference)


PIECES = st.lists(st.sampled_from(["a", "gate", "challenger", "2"]), min_size=1, max_size=3)
MADE = ("", FINETUNED, CHALLENGER, CHALLENGER + FINETUNED, GATE, SEEDS)
"""Behind the name of a recipe: what it makes."""


@given(PIECES, st.sampled_from(MADE), PIECES, st.sampled_from(MADE))
def test_no_two_recipes_make_what_has_one_name(one: list[str], behind: str, other: list[str], too: str) -> None:
    names = {"-".join(one) + behind, "-".join(other) + too}
    recipes = [name for name in names if maker_of(name) is None]
    made = [{recipe + suffix for suffix in MADE} for recipe in recipes]
    assert len(made) < 2 or made[0].isdisjoint(made[1])


def test_a_recipe_called_as_what_another_makes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    for name in ("r-challenger", "r-finetuned", "r-gate", "r-seeds", "r-challenger-finetuned"):
        path.write_text(f"name: {name}\ncorpus:\n  sources: [{{name: a, path: raw, format: txt}}]\n")
        with pytest.raises(RecipeError, match=f"name: .*can't end in .*: {name} is what a recipe r would call .*; take another"):
            load_recipe(path)
    path.write_text("name: gate\ncorpus:\n  sources: [{name: a, path: raw, format: txt}]\n")
    assert load_recipe(path).name == "gate"


SECRET = "s3cr3t-0f-a-test"


@pytest.mark.parametrize(
    "url",
    [
        f"https://me:{SECRET}@host/texts/*.jsonl",
        f"s3://key:{SECRET}@bucket/texts",
        f"https://host/a.jsonl?token={SECRET}",
        f"https://host/a.jsonl?lang=en&X-Amz-Signature={SECRET}",
        f"https://host/a.jsonl?sv=2026&sig={SECRET}",
        f"https://host/a.jsonl?api_key={SECRET}",
        f"https://host/a.jsonl?my-Password={SECRET}&b=1",
    ],
)
def test_a_url_with_a_secret_in_it_is_refused_and_not_repeated(url: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"name: a\ncorpus:\n  sources:\n    - name: s\n      format: jsonl\n      path: '{url}'\n")
    with pytest.raises(RecipeError) as refused:
        load_recipe(recipe)
    assert f"{recipe}:6: corpus.sources[0].path: has a password or a token in its URL" in str(refused.value)
    with pytest.raises(ValidationError) as raised:
        Source(name="s", path=url, format="jsonl")
    assert SECRET not in str(refused.value) + str(raised.value)


@pytest.mark.parametrize(
    "url", ["https://host/a?page=2&lang=en", "abfs://container@account.example/a", "s3://bucket/*?.txt", "texts/token=1", "http://h:80/k"]
)
def test_other_urls_stand(url: str) -> None:
    assert Source(name="s", path=url, format="jsonl").path == url
