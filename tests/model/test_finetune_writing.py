"""Models learn to write, from files of examples to what `transformers` makes of the saved model: generation, chat, code."""

from __future__ import annotations

import io
import json
import random
import shutil
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from flows.commands.chatting import chat
from model.checkpoint import load_model, save_model
from model.dialogue import Dialogues
from model.examples import Chatted, Coded, Written, read_task
from model.examples.kinds import Message
from model.families import build_model, special_ids
from model.finetune.__main__ import main
from model.finetune.chatting import Chatting
from model.finetune.coding import run_tests
from model.finetune.reading import Reading, reading_of
from model.finetune.samples import NOTHING, batch_of
from model.finetune.saved import save_written
from model.finetune.writing import Frame, Writing
from model.finetune.written import WritingModel
from model.generate import Asked, Drawing, Writer
from model.generate.chat import Chat
from model.metrics.programs import pass_at
from model.serving.engine import Counts
from model.serving.house import Limits, Version
from schemas import recipe
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.fingerprint import Identity
from tests.model.conftest import commit_tokenizer
from tests.model.problems import PROBLEMS
from tests.mutants import broken, hollow, mutants

WORDS = "red white blue stone river cloud paper north".split()
DECODER = recipe.Decoder(layers=2, width=64, heads=2, kv_heads=2, ffn=128, context=64, tie_embeddings=False)
ENCODER_DECODER = recipe.EncoderDecoder(family="t5", layers=1, width=64, heads=2, ffn=128)


def commit_base(folder: Path, architecture: recipe.Architecture) -> Artifact:
    """An untrained model with its tokenizer."""
    tokenizer = commit_tokenizer(folder / "tokenizer", [" ".join(WORDS)] * 20, 300)
    facts = tokenizer.facts("tokenizer")
    torch.manual_seed(0)
    draft = Draft.start(folder / "model", "model", "small", Identity("pretrain", 1, {}, {}, {}))
    model = build_model(architecture, facts["vocab_size"])
    weights, description = save_model(model, draft.scratch(), special_ids(architecture, facts["special_tokens"]))
    copy = Path(shutil.copyfile(tokenizer.paths("tokenizer")[0], draft.scratch() / "tokenizer.json"))
    files = [draft.adopt_as(path, path.name, role) for path, role in ((weights, "weights"), (description, "config"), (copy, "tokenizer"))]
    draft.add_part("pretrain", "model", files)
    return draft.commit(["pretrain"])


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return commit_base(tmp_path_factory.mktemp("decoder"), DECODER)


@pytest.fixture(scope="module")
def encoder_decoder(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return commit_base(tmp_path_factory.mktemp("encoder-decoder"), ENCODER_DECODER)


def draft_of(base: Artifact, folder: Path, task: Mapping[str, Any], rows: list[dict[str, Any]], **changes: Any) -> Draft:
    """A draft of a fine-tuning on rows, ready to run."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    usual: dict[str, Any] = {"epochs": 6, "batch": 16, "max_tokens": 48, "lr": 3e-3, "precision": "float32", "dropout": 0.0}
    section = recipe.Finetune(task=recipe.Task(name="small", data={"train": str(folder / "rows.jsonl")}, **task), **{**usual, **changes})
    draft = Draft.start(folder / "draft", "model", "small-task", Identity("finetune", 2, section.as_json(), {"pretrain": "0"}, {}))
    draft.assign(inputs={"pretrain": base.path}, roots={"train": str(folder / "rows.jsonl")}, run={"ranks": 1, "threads_per_rank": 1})
    return draft


def taught(base: Artifact, folder: Path, task: Mapping[str, Any], rows: list[dict[str, Any]], **changes: Any) -> Artifact:
    draft = draft_of(base, folder, task, rows, **changes)
    assert main([str(draft.path)]) == 0
    return draft.commit(["finetune"])


def translations(n: int, words: int = 2) -> list[dict[str, Any]]:
    """Words behind a number, and the words in capitals."""
    draw = random.Random(1)
    texts = [" ".join(draw.choices(WORDS, k=words)) for _ in range(n)]
    return [{"prompt": f"{number}: {text}", "target": text.upper()} for number, text in enumerate(texts)]


GENERATION = {"kind": "generation", "metrics": ["exact_match", "rouge_l"]}


@pytest.mark.slow
def test_a_decoder_learns_to_write(decoder: Artifact, tmp_path: Path) -> None:
    made = taught(decoder, tmp_path, GENERATION, translations(400), epochs=12)
    facts = made.facts("finetune")
    assert facts["test"]["exact_match"] > 0.9 and facts["test"]["exact_match_standard_error"] >= 0
    assert list(facts["validation"]) == ["loss"] and facts["labels"] == []
    config = json.loads((made.path / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"] and config["gristmill"]["separator"] == "\n"

    # transformers writes what we write, from the same prompt
    tokenizer = transformers.AutoTokenizer.from_pretrained(made.path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(made.path)
    writer = Writer(made.path)
    for prompt in ("7: red river", "8: blue stone"):
        read = tokenizer(prompt + "\n", return_tensors="pt")
        assert read["input_ids"][0].tolist() == writer.ids(prompt)
        found = theirs.generate(**read, max_new_tokens=16, do_sample=False)[0, read["input_ids"].shape[1] :]
        ours = writer.write([prompt], Asked(16, drawing=Drawing(0)))[0]
        assert ours.text == tokenizer.decode(found, skip_special_tokens=True)
    assert ours.text == "BLUE STONE" and ours.ended == "eos"


@pytest.mark.slow
def test_an_encoder_decoder_learns_to_write(encoder_decoder: Artifact, tmp_path: Path) -> None:
    made = taught(encoder_decoder, tmp_path, GENERATION, translations(300, words=1))
    assert made.facts("finetune")["test"]["exact_match"] > 0.9
    tokenizer = transformers.AutoTokenizer.from_pretrained(made.path)
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(made.path)
    read = tokenizer("7: river", return_tensors="pt")
    found = theirs.generate(**read, max_new_tokens=16, do_sample=False)[0]
    ours = Writer(made.path).write(["7: river"], Asked(16, drawing=Drawing(0)))[0]
    assert ours.text == tokenizer.decode(found, skip_special_tokens=True) == "RIVER"


def test_the_loss_is_that_of_transformers(decoder: Artifact, encoder_decoder: Artifact) -> None:
    examples = [Written(str(n), "red " * n, ("green " * (5 - n),)) for n in range(1, 5)]
    for base, theirs in ((decoder, transformers.AutoModelForCausalLM), (encoder_decoder, transformers.AutoModelForSeq2SeqLM)):
        kind = writing_kind(base, examples)
        ours = kind.likelihoods(WritingModel(load_model(base.path)[0]), kind.samples(examples))  # type: ignore[arg-type]
        model = theirs.from_pretrained(base.path).eval()
        for example, sample, found in zip(examples, kind.samples(examples), ours, strict=True):
            wanted = sample.target[sample.target != NOTHING].tolist()
            prompt = kind.prompt(example)
            labels = wanted if base is encoder_decoder else [NOTHING] * len(prompt) + wanted
            read = prompt if base is encoder_decoder else prompt + wanted
            with torch.no_grad():
                loss = model(input_ids=torch.tensor([read]), labels=torch.tensor([labels])).loss
            assert found.nats / found.tokens == pytest.approx(float(loss), rel=1e-4)


@pytest.mark.parametrize("method", ["lora", "dora", "head"])
def test_less_than_all_may_be_trained(method: str, decoder: Artifact, tmp_path: Path) -> None:
    base, _ = load_model(decoder.path)
    made = taught(decoder, tmp_path, GENERATION, translations(40), epochs=1, method=method)
    after, _ = load_model(made.path)
    changed = {name for name, value in after.state_dict().items() if not torch.equal(value, base.state_dict()[name])}
    assert changed
    assert ("lm_head.weight" in changed) == (method == "head") and all(("layers." in name) == (method != "head") for name in changed)
    assert made.facts("finetune")["trained_parameters"] < made.facts("finetune")["parameters"] / 2


def test_a_tied_head_is_not_trained_by_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    base = commit_base(tmp_path, DECODER.model_copy(update={"tie_embeddings": True}))
    assert main([str(draft_of(base, tmp_path, GENERATION, translations(40), method="head").path)]) == 1
    assert "finetune.method head: leaves nothing to train" in capfd.readouterr().err


def config_of(artifact: Artifact) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((artifact.path / "config.json").read_text())
    return found


def reading(artifact: Artifact, max_tokens: int = 48) -> Reading:
    return reading_of(artifact.path, config_of(artifact), max_tokens)


def writing_kind(base: Artifact, learned: list[Written]) -> Writing:
    read = reading(base)
    return Writing(read, Frame.of(read, config_of(base), "\n"), learned)


def test_a_bos_that_nothing_begins_with_is_not_read(decoder: Artifact, tmp_path: Path) -> None:
    """Qwen has one in its config.json, which its tokenizer doesn't put before texts."""
    shutil.copytree(decoder.path, tmp_path / "qwen")
    (tmp_path / "qwen" / "tokenizer_config.json").write_text("{}")
    config = config_of(decoder)
    assert config["bos_token_id"] == Frame.of(reading(decoder), config, "").bos == 0
    assert Frame.of(reading_of(tmp_path / "qwen", config, 48), config, "").bos is None


def test_a_dialogue_without_room_is_refused(decoder: Artifact) -> None:
    with pytest.raises(RequestError, match="finetune.max_tokens 12 leaves no room"):
        chatting(decoder, 12).samples([dialogue(("user", "red " * 30), ("assistant", "blue"))])


def test_prompts_and_targets_that_are_too_long_lose_their_ends(decoder: Artifact, encoder_decoder: Artifact) -> None:
    long, short = Written("a", "red " * 99, ("blue " * 99,)), Written("b", "<|eos|>", ("green",))
    for base in (decoder, encoder_decoder):
        read = reading(base)
        frame = Frame.of(read, config_of(base), "\n")
        kind = Writing(read, frame, [long, short])
        cut, whole = kind.samples([long, short])
        for sample in (cut, whole):
            assert len(sample.ids) <= 48 and 0 < (sample.target != NOTHING).sum() <= kind.room
        assert frame.eos not in cut.target and whole.target[-1] == frame.eos
        assert kind.prompt(long)[-1] == (frame.eos if base is encoder_decoder else reading(base).read(["\n"])[0].ids[1])
        assert frame.eos not in kind.prompt(short)[: -1 if base is encoder_decoder else None]  # spelled, it is text
        assert cut.ids[: len(kind.prompt(long))].tolist() == kind.prompt(long)  # the same in learning and answering


def test_every_right_answer_is_learned(decoder: Artifact) -> None:
    kind = writing_kind(decoder, [])
    assert len(kind.samples([Written("a", "red", ("blue", "green"))])) == 2


def test_a_batch_costs_what_its_samples_cost(decoder: Artifact, encoder_decoder: Artifact) -> None:
    """Padding, and what is beside a sample, change nothing; the loss is the mean over wanted tokens."""
    examples = [Written(str(n), "red " * n, ("green " * (5 - n),)) for n in range(1, 5)]
    for base in (decoder, encoder_decoder):
        kind = writing_kind(base, examples)
        model = WritingModel(load_model(base.path)[0])  # type: ignore[arg-type]
        samples = kind.samples(examples)
        together = kind.likelihoods(model, samples)
        alone = [kind.likelihoods(model, [sample])[0] for sample in samples]
        assert [one.tokens for one in together] == [one.tokens for one in alone]
        np.testing.assert_allclose([one.nats for one in together], [one.nats for one in alone], rtol=1e-4)
        mean = sum(one.nats for one in together) / sum(one.tokens for one in together)
        assert kind.loss(model, batch_of(samples, 0, 48)).item() == pytest.approx(mean, rel=1e-4)


# Chat


def chats(n: int) -> list[dict[str, Any]]:
    draw = random.Random(2)
    rows = []
    for number in range(n):
        first, second = draw.choices(WORDS, k=2)
        turns = [("user", f"{number} {first}"), ("assistant", first.upper()), ("user", second), ("assistant", second.upper())]
        rows.append({"messages": [{"role": role, "content": text} for role, text in turns]})
    return rows


def dialogue(*turns: tuple[str, str]) -> Chatted:
    return Chatted("x", tuple(Message(role, text) for role, text in turns))  # type: ignore[arg-type]


def chatting(base: Artifact, max_tokens: int = 64) -> Chatting:
    read = reading(base, max_tokens)
    return Chatting(read, Frame.of(read, config_of(base), "\n"), [])


def test_only_what_assistants_say_is_learned(decoder: Artifact) -> None:
    kind = chatting(decoder)
    encoder, eos = kind.reading.tokenizer, kind.frame.eos
    sample = kind.sample(dialogue(("user", "red"), ("assistant", " blue "), ("user", "stone"), ("assistant", "paper")))
    wanted = [encoder.encode(word, add_special_tokens=False).ids for word in ("blue", "paper")]
    assert sample.target[sample.target != NOTHING].tolist() == [*wanted[0], eos, *wanted[1], eos]
    other = kind.sample(dialogue(("user", "der"), ("assistant", "blue"), ("user", "enots"), ("assistant", "paper")))
    assert other.target[other.target != NOTHING].tolist() == [*wanted[0], eos, *wanted[1], eos]


def test_targets_of_users_change_no_loss(decoder: Artifact) -> None:
    """The gradient of what a model says at places that aren't an assistant's is exactly zero."""
    kind = chatting(decoder)
    base, _ = load_model(decoder.path)
    sample = kind.sample(dialogue(("user", "red"), ("assistant", "blue"), ("user", "stone"), ("assistant", "paper")))
    states: list[torch.Tensor] = []
    base.model.register_forward_hook(lambda module, read, out: (out.retain_grad(), states.append(out))[0])  # type: ignore[union-attr, operator]
    kind.loss(WritingModel(base), batch_of([sample], 0, 64)).backward()  # type: ignore[arg-type]
    assert states[0].grad is not None
    moved = states[0].grad[0].abs().sum(-1)[: len(sample.target)] > 0
    assert moved.tolist() == (sample.target != NOTHING).tolist()


@pytest.mark.slow
def test_a_decoder_learns_to_chat(
    decoder: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = taught(decoder, tmp_path, {"kind": "chat"}, chats(300), epochs=10, max_tokens=64)
    assert made.facts("finetune")["test"]["loss"] < 0.3 and made.facts("finetune")["metric"] == "loss"
    tokenizer = transformers.AutoTokenizer.from_pretrained(made.path)
    dialogues = Dialogues(Tokenizer.from_file(str(made.path / "tokenizer.json")), tokenizer.bos_token_id, tokenizer.eos_token_id)
    messages = [Message("system", " Be brief.\n"), Message("user", "7 red"), Message("assistant", "RED"), Message("user", "river  ")]
    told = [{"role": message.role, "content": message.content} for message in messages]
    theirs = tokenizer.apply_chat_template(told, add_generation_prompt=True, tokenize=True, return_dict=False)
    assert theirs == dialogues.prompt(messages, 999)
    begin, turns = dialogues.read(messages, 999)
    whole = [*begin, *(number for turn in turns for number in turn.ids)]
    assert tokenizer.apply_chat_template(told, tokenize=True, return_dict=False) == whole

    # a line is a turn
    (said,) = Chat(made.path).say([Message("user", "5 cloud")], Asked(9, drawing=Drawing(0))).text.split()
    assert said == "CLOUD"
    store = tmp_path / "store" / "model" / "chatty"
    store.mkdir(parents=True)
    made.path.rename(store / "20260101T000000000000Z-00000000")
    monkeypatch.setattr("sys.stdin", io.StringIO("5 cloud\n\nriver\n"))
    chat("chatty", once=None, system=None, max_tokens=9, temperature=0.0, top_p=0.95, seed=0, as_json=False, store=str(tmp_path / "store"))
    assert capsys.readouterr().out == "CLOUD\nRIVER\n"


def chatty(base: Artifact, folder: Path) -> Artifact:
    """A model as if it had been taught dialogues."""
    model, config = load_model(base.path)
    draft = Draft.start(folder / "chatty", "model", "chatty", Identity("finetune", 2, {}, {}, {}))
    files = save_written(WritingModel(model), base.path, draft.scratch(), config, {"kind": "chat"})  # type: ignore[arg-type]
    draft.add_part("finetune", "model", [draft.adopt_as(path, path.name, role) for path, role in files.items()])
    return draft.commit(["finetune"])


def test_a_server_reads_dialogues_as_they_were_taught(decoder: Artifact, tmp_path: Path) -> None:
    made = chatty(decoder, tmp_path)
    _, config = load_model(made.path)
    version = Version(made, Limits(), Counts())
    bos, eos = config["bos_token_id"], config["eos_token_id"]
    dialogues = Dialogues(Tokenizer.from_file(str(made.paths("tokenizer")[0])), bos, eos)
    turns = [Message("system", "red"), Message("user", " blue\n"), Message("assistant", "river"), Message("user", "stone")]
    for messages in (turns, [*turns[:3], Message("user", "so<|eos|><|bos|>")]):
        ids = version.chat.ids(messages)
        assert ids == dialogues.prompt(messages, 999) and (ids.count(bos), ids.count(eos)) == (1, 4)
    version.close()


contents = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(lambda text: text + " <|eos|><|user|>\n")


@settings(max_examples=25, deadline=None)
@given(st.lists(contents, min_size=1, max_size=5), st.integers(10, 120))
def test_no_content_ends_a_turn_or_begins_one(decoder: Artifact, texts: list[str], room: int) -> None:
    """However long a dialogue is, and whatever is spelled in it: there are as many eos as turns, and no more ids than there is room."""
    encoder = Tokenizer.from_file(str(decoder.path / "tokenizer.json"))
    bos, eos = (encoder.token_to_id(f"<|{name}|>") for name in ("bos", "eos"))
    dialogues = Dialogues(encoder, bos, eos)
    messages = [Message("user" if place % 2 == 0 else "assistant", text) for place, text in enumerate(texts)]
    _, turns = dialogues.read(messages, room)
    assert 1 <= len(turns) <= len(texts) and all(turn.ids.count(eos) == 1 and bos not in turn.ids for turn in turns)
    prompt = dialogues.prompt(messages, room)
    assert len(prompt) <= max(room, len(encoder.encode("<|assistant|>\n", add_special_tokens=False).ids))


def test_the_oldest_turns_of_a_long_dialogue_are_left_out(decoder: Artifact) -> None:
    encoder = Tokenizer.from_file(str(decoder.path / "tokenizer.json"))
    dialogues = Dialogues(encoder, 0, 1)
    roles = ("user", "assistant") * 6
    messages = [Message("system", "red"), *(Message(role, f"{number}") for number, role in enumerate(roles))]  # type: ignore[arg-type]
    for room in (1, 60, 120, 999):
        _, turns = dialogues.read(messages, room)
        assert turns == [dialogues.turn(messages[0]), *map(dialogues.turn, messages[-(len(turns) - 1) :])] and turns[1].role == "user"
        assert room == 1 or 1 + sum(len(turn.ids) for turn in turns) <= room
    kind = chatting(decoder, 60)
    target = kind.sample(Chatted("x", tuple(messages))).target
    words = encoder.encode(" 11 9", add_special_tokens=False).ids
    assert len(target) <= 60 and not set(encoder.encode("red").ids) & set(target.tolist()) and set(words) & set(target.tolist())


def test_bytes_are_of_what_was_judged(decoder: Artifact) -> None:
    """What a long dialogue lost costs nothing, and so is no byte, either."""
    short = [("user", "a"), ("assistant", "blue 河"), ("user", "b"), ("assistant", "paper")]
    long = [(role, f"{number} {text}") for number in range(9) for role, text in short] + short
    for turns in (short, long):
        kind = chatting(decoder)
        base, _ = load_model(decoder.path)
        [nats], [(tokens, size)] = kind.judged(WritingModel(base), [dialogue(*turns)])  # type: ignore[arg-type]
        sample = kind.sample(dialogue(*turns))
        said = kind.reading.tokenizer.decode(sample.target[sample.target != NOTHING].tolist())
        assert nats > 0 and tokens == (sample.target != NOTHING).sum()
        assert size == len(said.encode()) <= sum(len(text.encode()) for role, text in turns if role == "assistant")
        assert turns is long or size == len("blue 河paper".encode())


@pytest.mark.parametrize("roles", ["au", "sau", "ssu", "suau", "aau", "us", "a", "s"])
def test_no_turn_is_left_out_while_there_is_room(decoder: Artifact, roles: str) -> None:
    dialogues = Dialogues(Tokenizer.from_file(str(decoder.path / "tokenizer.json")), 0, 1)
    names = {"a": "assistant", "s": "system", "u": "user"}
    messages = [Message(names[role], f"{number}") for number, role in enumerate(roles)]  # type: ignore[arg-type]
    assert dialogues.read(messages, 999)[1] == [dialogues.turn(message) for message in messages]
    assert dialogues.fits(messages, len(dialogues.prompt(messages, 999)))
    if "u" in roles:
        last = roles.rindex("u")
        least = [*messages[: int(roles[0] == "s")], *messages[last:]]
        assert dialogues.read(messages, 1)[1] == [dialogues.turn(message) for message in least]


def test_what_was_said_last_is_not_cut(decoder: Artifact, tmp_path: Path) -> None:
    made = chatty(decoder, tmp_path)
    chat, asked = Chat(made.path), Asked(9, drawing=Drawing(0))
    chat.say([Message("user", "red " * 60), Message("assistant", "x"), Message("user", "red")], asked)
    with pytest.raises(ValueError, match="what was said last has no room in 55 tokens"):
        chat.say([Message("user", "red " * 60)], asked)


def test_an_encoder_decoder_does_not_chat(encoder_decoder: Artifact) -> None:
    with pytest.raises(RequestError, match="an encoder-decoder doesn't go on from a dialogue"):
        chatting(encoder_decoder)


# Code


def problems(n: int) -> list[dict[str, Any]]:
    rows = []
    for number in range(n):
        name, solution = f"f{number}", f"def f{number}(x): return {number}"
        rows.append({"prompt": f"{number}", "solution": solution, "tests": [f"assert {name}(0) == {number}"], "setup": ""})
    return rows


def test_code_is_judged_by_its_tests(decoder: Artifact, tmp_path: Path) -> None:
    made = taught(decoder, tmp_path, {"kind": "code"}, problems(30), epochs=1, max_tokens=64)
    assert made.facts("finetune")["test"]["pass_at_1"] == 0.0  # it learned nothing, and nothing went wrong


def test_tests_are_run_after_the_program() -> None:
    example = Coded("x", "double", "def f(x): return x + x", ("assert f(2) == 4", "assert f(X) == 6"), "X = 3")
    assert run_tests(example.solution, example).passed
    assert run_tests("def f(x): return x * x", example).reason == "failed"
    assert not run_tests("import os\nos._exit(0)", example).passed


@pytest.mark.slow
def test_solutions_pass_and_mutants_fail(tmp_path: Path) -> None:
    """pass@1 of two dozen problems: 1 of their solutions, 0 of programs that do nothing or raise; of small changes, most are seen."""
    (tmp_path / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in PROBLEMS))
    subsets = read_task(recipe.Task(name="c", kind="code", data={"train": str(tmp_path / "problems.jsonl")})).by_name
    examples = [example for examples in subsets.values() for example in examples if isinstance(example, Coded)]
    assert len(examples) == len(PROBLEMS) >= 24
    metric = pass_at(1)
    for make, value in ((str, 1.0), (hollow, 0.0), (broken, 0.0)):
        said = [[run_tests(make(example.solution), example).passed] for example in examples]
        assert float(metric.value(metric.of(said, [None] * len(said)).sum(0))) == value
    changed = [(mutant, example) for example in examples for mutant in islice(mutants(example.solution), 2)]
    seen = [not run_tests(mutant, example).passed for mutant, example in changed]
    assert len(seen) >= 24 and sum(seen) / len(seen) > 0.75
