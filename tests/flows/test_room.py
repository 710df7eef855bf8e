"""Room on the disk: a step for which there is none is not begun, and says what it needs, where, and what to do."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.ensure import ensure
from flows.planning import plan
from flows.room import LEAST, check_room, kept_free, needed, weights_at_most
from flows.steps import STEPS
from model.families import build_model
from schemas.errors import RequestError
from schemas.recipe import Pretrain, Recipe, Run
from schemas.recipe.architecture import SIZES, Decoder, Encoder, EncoderDecoder, Recurrent
from schemas.store import Store

STEP = {step.name: step for step in STEPS}


def recipe_of(folder: Path, store: Path, **run: object) -> Recipe:
    source = {"name": "s", "path": str(folder), "format": "txt", "lang": "en"}
    return Recipe.model_validate({"name": "a", "corpus": {"sources": [source]}, "run": {"store": str(store), **run}})


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Four megabytes of it."""
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(4):
        (folder / f"{n}.txt").write_text(f"A line of note {n} that says what happened.\n" * 25_000)
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a file system can't be mounted here: that takes root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_step_that_will_not_fit_on_the_disk_is_not_begun(text: Path, small_disk: Path) -> None:
    recipe, store = recipe_of(text, small_disk / "store"), Store(small_disk / "store")
    with pytest.raises(RequestError, match=r"^documents: needs about 28\.\d MB on the disk of .*store, where 25\.\d MB are free\. Nothing"):
        ensure(STEP["documents"], recipe, store, {}, str)
    assert store.versions("documents", "a") == []
    assert plan(recipe, store)[0].room == pytest.approx(LEAST + 3 * sum(path.stat().st_size for path in text.iterdir()))


@pytest.mark.parametrize("kept", [0.999999, 1 << 50])
def test_what_is_to_stay_free_does(kept: float, text: Path, tmp_path: Path) -> None:
    recipe, store = recipe_of(text, tmp_path / "store", min_free=kept), Store(tmp_path / "store")
    with pytest.raises(RequestError, match="of which run.min_free keeps "):
        ensure(STEP["documents"], recipe, store, {}, str)


def test_what_a_draft_holds_already_is_not_needed_again(text: Path, small_disk: Path) -> None:
    for path in list(text.iterdir())[1:]:
        path.unlink()
    store, step = Store(small_disk / "store"), STEP["documents"]
    recipe = recipe_of(text, store.root)
    ready = step.prepare(recipe, store, {})
    draft = store.start("documents", "a", ready.identity, ready.splits)
    check_room(step, recipe, ready, {}, store.root, None)
    (draft.scratch() / "half").write_bytes(bytes(12_000_000))
    check_room(step, recipe, ready, {}, store.root, draft.path)
    with pytest.raises(RequestError, match="Nothing was begun"):
        check_room(step, recipe, ready, {}, store.root, None)


def test_what_a_training_needs_is_known_from_its_recipe(text: Path, tmp_path: Path) -> None:
    recipe = recipe_of(text, tmp_path / "store").model_copy(update={"pretrain": Pretrain(steps=1, compile=False)})
    two = needed(STEP["pretrain"], recipe, None, {})
    assert recipe.pretrain is not None
    more = recipe.model_copy(update={"pretrain": recipe.pretrain.model_copy(update={"keep_checkpoints": 4})})
    assert needed(STEP["pretrain"], more, None, {}) - two == 2 * 12 * weights_at_most(
        recipe.pretrain.architecture, recipe.tokenizer.vocab_size
    )


def test_free_room_is_a_share_or_bytes() -> None:
    run = Run(min_free=0.25)
    assert run.min_free == 0.25
    assert Run(min_free=5_000_000_000).min_free == 5_000_000_000
    with pytest.raises(ValueError, match="min_free"):
        Run(min_free=-1)


WIDTHS = st.sampled_from([32, 64, 128])
MODELS = st.one_of(
    st.builds(
        Decoder, width=WIDTHS, layers=st.integers(1, 3), ffn=st.integers(16, 300), tie_embeddings=st.booleans(), qk_norm=st.booleans()
    ),
    st.builds(Decoder, width=WIDTHS, heads=st.just(4), kv_heads=st.sampled_from([1, 2, 4]), head_width=st.sampled_from([None, 8, 64])),
    st.builds(Decoder, width=WIDTHS, family=st.just("gpt2")),
    st.builds(Encoder, width=WIDTHS, family=st.sampled_from(["bert", "modernbert"]), layers=st.integers(1, 3)),
    st.builds(EncoderDecoder, width=WIDTHS, family=st.just("t5"), tie_embeddings=st.booleans()),
    st.builds(Recurrent, width=WIDTHS, family=st.just("lstm"), layers=st.integers(1, 3), tie_embeddings=st.booleans()),
)


@settings(deadline=None, max_examples=25)
@given(MODELS, st.integers(512, 9000))
def test_weights_are_never_more_than_was_said(model: Decoder | Encoder | EncoderDecoder | Recurrent, vocabulary: int) -> None:
    with torch.device("meta"):
        built = sum(parameter.numel() for parameter in build_model(model, vocabulary).parameters())
    assert built <= weights_at_most(model, vocabulary)


@pytest.mark.parametrize("size", ["small", "medium", "1b"])
def test_weights_of_great_models_are_not_far_more_either(size: str) -> None:
    model = Decoder(**SIZES[size])
    with torch.device("meta"):
        built = sum(parameter.numel() for parameter in build_model(model, 32_768).parameters())
    assert built <= weights_at_most(model, 32_768) < 1.3 * built


def test_a_share_of_a_disk_is_of_all_of_it(text: Path, tmp_path: Path) -> None:
    usage = os.statvfs(tmp_path)
    assert kept_free(recipe_of(text, tmp_path, min_free=0.5), tmp_path) == int(0.5 * usage.f_blocks * usage.f_frsize)
