"""Writes a trained model as a Hugging Face folder in bf16, and checks that transformers computes the same numbers."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

import data


def write(folder, config, state, tokenizer_file, masked=False):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().cpu().to(torch.bfloat16).contiguous() for k, v in state.items()}
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise SystemExit(f"{name} is not finite")
    save_file(state, str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    shutil.copyfile(tokenizer_file, folder / "tokenizer.json")
    specials = dict(zip(("cls_token", "mask_token", "sep_token"), data.MASKED[0])) if masked else {"bos_token": data.START}
    settings = data.tokenizer_config(specials, not masked, config["max_position_embeddings"])
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


def llama_config(c):
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "eos_token_id": None,
        "head_dim": c["width"] // c["heads"],
        "hidden_act": "silu",
        "hidden_size": c["width"],
        "initializer_range": c["std"],
        "intermediate_size": c["ffn"],
        "max_position_embeddings": c["context"],
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": c["heads"],
        "num_hidden_layers": c["layers"],
        "num_key_value_heads": c.get("kv_heads", c["heads"]),
        "rms_norm_eps": c["eps"],
        "rope_scaling": None,
        "rope_theta": c["rope_theta"],
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": c["vocab"],
    }


def export(model, recipe, tokenizer_file, folder):
    c = recipe["shape"]
    if recipe["family"] != "llama":
        write(folder, {**model.config_dict(), "max_position_embeddings": c["context"]}, model.tensors(), tokenizer_file,
              recipe["task"] == "mlm")
        check_family(folder, model)
        return
    config = llama_config(c)
    if c.get("window"):
        config.update(architectures=["MistralForCausalLM"], model_type="mistral", sliding_window=c["window"])
    if "experts" in c:
        config.update(architectures=["MixtralForCausalLM"], model_type="mixtral", num_local_experts=c["experts"],
                      num_experts_per_tok=c["chosen"], output_router_logits=False, sliding_window=None)
    if config["model_type"] != "llama":
        for key in ("attention_bias", "mlp_bias", "rope_scaling"):
            del config[key]
    if not c.get("causal", True):
        config.update(is_causal=False, mask_token_id=recipe["mask"])
    write(folder, config, model.state_dict(), tokenizer_file, recipe["task"] == "mlm")
    if c.get("causal", True):
        check(folder)


@torch.no_grad()
def check_family(folder, model):
    """transformers must read back what was written, but for bf16's rounding."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    config = json.loads((Path(folder) / "config.json").read_text())
    kind = AutoModelForMaskedLM if config["model_type"] == "bert" else AutoModelForCausalLM
    theirs = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    ids = torch.randint(1, config["vocab_size"], (4, 24), generator=torch.Generator().manual_seed(0))
    a, b = model.eval()(ids), theirs(ids).logits
    error = ((a - b).norm() / b.norm()).item()
    if error > 0.03:
        raise SystemExit(f"{folder}: transformers disagrees by {error:.2e}")


@torch.no_grad()
def check(folder):
    """Largest relative difference of logits between llama.py and transformers, both from the written bf16 weights."""
    from transformers import AutoModelForCausalLM

    import measure

    ours, c = measure.load_llama(folder)
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    ids = torch.randint(0, c["vocab"], (4, min(64, c["context"])), generator=torch.Generator().manual_seed(0))
    a, b = ours(ids), theirs(ids).logits
    error = ((a - b).norm() / b.norm()).item()
    if error > 1e-4:
        raise SystemExit(f"{folder}: transformers disagrees by {error:.2e}")
    return error
