"""The model: a *checkpoint* is a folder with the weights, moments and random state of a run as safetensors, and its
scalars in `state.json`. It is *durable* once its `done` marker is on disk. A *saved model* is `model.safetensors` beside
a `config.json` that Hugging Face's Llama reads.

Nothing is pickled: torch's distributed checkpoint writes through its Hugging Face storage, each rank a share of the tensors.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from model.decoder import DecoderModel
from model.parallel import Ranks
from schemas import recipe
from schemas.errors import RequestError
from schemas.files import create, remove_tree, replace, sync_file, sync_folder

STATE = "state.json"
DONE = "done"
LATEST = "latest"


class Mismatch(RequestError):
    """A checkpoint can't be continued here, or a saved model is not what it should be; the message says why."""


class Checkpoints:
    """The checkpoints of one run, below one folder; every rank calls the same methods together."""

    def __init__(self, folder: Path, keep: int, ranks: Ranks) -> None:
        self.folder, self._keep, self._ranks = folder, keep, ranks
        if ranks.first:
            folder.mkdir(exist_ok=True)
            for torn in folder.iterdir():
                if torn.is_dir() and not (torn / DONE).is_file():
                    remove_tree(torn)
        ranks.wait()

    def durable(self) -> list[Path]:
        """Finished checkpoints, oldest first."""
        return sorted(path for path in self.folder.glob("step-*") if (path / DONE).is_file())

    def newest(self) -> tuple[Path, dict[str, Any]] | None:
        """The newest durable checkpoint and its scalars."""
        found = self.durable()
        return (found[-1], json.loads((found[-1] / STATE).read_text())) if found else None

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> Path:
        """Write `step-N`: all tensors, then scalars, synced; then its marker, its name, and the `latest` pointer."""
        temporary, target = self.folder / f".step-{step:08d}", self.folder / f"step-{step:08d}"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
            dcp.save(dict(tensors), storage_writer=dcp.HuggingFaceStorageWriter(str(temporary), save_distributed=True))
        self._ranks.wait()
        if self._ranks.first:
            for file in temporary.iterdir():
                sync_file(file)
            create(temporary / STATE, (json.dumps(dict(state), indent=1, sort_keys=True) + "\n").encode())
            create(temporary / DONE, b"")
            temporary.rename(target)
            sync_folder(self.folder)
            replace(self.folder / LATEST, f"{target.name}\n".encode())
            for old in self.durable()[: -self._keep]:
                remove_tree(old)
        self._ranks.wait()
        return target

    def load(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        """Fill the tensors in place from a checkpoint; raises ``Mismatch`` naming one that it lacks or has in another shape."""
        try:
            dcp.load(dict(tensors), storage_reader=dcp.HuggingFaceStorageReader(str(path)))
        except (dcp.api.CheckpointException, RuntimeError, ValueError) as error:
            raise Mismatch(f"{path}: does not fit this run: {error}") from error


def save_model(model: DecoderModel, folder: Path, config: Mapping[str, Any]) -> tuple[Path, Path]:
    """Write `model.safetensors` (float32, vocabulary of its real size) and `config.json`; return both paths.

    ``config`` adds keys to those that describe the architecture (``bos_token_id`` and the like). Tied heads are left out.
    """
    rows = {"model.embed_tokens.weight", "lm_head.weight"}
    tensors = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and model.config.tie_embeddings:
            continue
        tensors[name] = tensor[: model.vocab_size].float().contiguous() if name in rows else tensor.float().contiguous()
    weights, description = folder / "model.safetensors", folder / "config.json"
    save_file(tensors, weights, metadata={"format": "pt"})
    content = {**llama_config(model), **config}
    description.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return weights, description


def llama_config(model: DecoderModel) -> dict[str, Any]:
    """The `config.json` of Hugging Face's Llama for this architecture."""
    c = model.config
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": model.vocab_size,
        "hidden_size": c.width,
        "intermediate_size": c.ffn,
        "num_hidden_layers": c.layers,
        "num_attention_heads": c.heads,
        "num_key_value_heads": c.kv_heads,
        "head_dim": c.width // c.heads,
        "max_position_embeddings": c.context,
        "rms_norm_eps": c.norm_eps,
        "rope_theta": c.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": c.rope_theta},
        "tie_word_embeddings": c.tie_embeddings,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "dtype": "float32",
        "torch_dtype": "float32",
    }


def load_model(folder: Path, device: str = "cpu") -> tuple[DecoderModel, dict[str, Any]]:
    """The model saved in a folder (float32, ready to evaluate), and its `config.json`. Raises ``Mismatch`` naming the file."""
    description, weights = folder / "config.json", folder / "model.safetensors"
    try:
        config = json.loads(description.read_text(encoding="utf-8"))
        if config["model_type"] != "llama" or config["rope_parameters"]["rope_type"] != "default":
            raise ValueError(f"model_type {config['model_type']}, rope {config['rope_parameters']}: want llama with plain rotation")
        architecture = recipe.Decoder(
            layers=config["num_hidden_layers"],
            width=config["hidden_size"],
            heads=config["num_attention_heads"],
            kv_heads=config["num_key_value_heads"],
            ffn=config["intermediate_size"],
            context=config["max_position_embeddings"],
            rope_theta=config["rope_parameters"]["rope_theta"],
            norm_eps=config["rms_norm_eps"],
            tie_embeddings=config["tie_word_embeddings"],
        )
        vocab_size = config["vocab_size"]
    except FileNotFoundError as error:
        raise Mismatch(f"{description}: is missing; a saved model has config.json and model.safetensors") from error
    except (KeyError, ValueError) as error:
        raise Mismatch(f"{description}: does not describe a Llama-shaped decoder: {error!r}") from error
    with torch.random.fork_rng(devices=[]):
        model = DecoderModel(architecture, vocab_size)
    own = model.state_dict()
    if architecture.tie_embeddings:
        del own["lm_head.weight"]
    try:
        with safe_open(weights, framework="pt") as saved, torch.no_grad():
            if set(saved.keys()) != set(own):
                raise Mismatch(f"{weights}: tensors differ from config.json's: {sorted(set(saved.keys()) ^ set(own))[:3]}")
            for name, tensor in own.items():
                value = saved.get_tensor(name)
                rows = vocab_size if name in ("model.embed_tokens.weight", "lm_head.weight") else tensor.shape[0]
                if value.shape != tensor[:rows].shape:
                    raise Mismatch(f"{weights}: {name} has shape {list(value.shape)}, config.json wants {list(tensor[:rows].shape)}")
                tensor[:rows] = value
    except (FileNotFoundError, SafetensorError) as error:
        raise Mismatch(f"{weights}: can't be read: {error}") from error
    return model.to(device).eval(), config
