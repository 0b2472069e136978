#!/usr/bin/env python3
"""Makes the goldens of merged LoRA adapters with PEFT (pins in requirements.txt).

    python tools/golden_adapter.py src/checkpoint/testdata

For each case NAME it writes NAME_base.safetensors, the adapter's folder NAME_adapter/ as PEFT saves it, and
NAME_merged.safetensors with the tensors that merge_and_unload changes, all in f32.
"""

import pathlib
import shutil
import sys

import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file

torch.set_num_threads(1)


def randomize(parameters):
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(torch.randn(parameter.shape) / 4)


def make(name, model, config, folder):
    torch.manual_seed(7)
    randomize(model.parameters())
    base = {key: value.clone() for key, value in model.state_dict().items()}
    adapted = get_peft_model(model, config)
    randomize(parameter for parameter in adapted.parameters() if parameter.requires_grad)
    save_file(base, folder / f"{name}_base.safetensors")
    target = folder / f"{name}_adapter"
    shutil.rmtree(target, ignore_errors=True)
    adapted.save_pretrained(target)
    (target / "README.md").unlink(missing_ok=True)
    merged = adapted.merge_and_unload().state_dict()
    changed = {key: value.contiguous() for key, value in merged.items() if not torch.equal(value, base[key])}
    save_file(changed, folder / f"{name}_merged.safetensors")
    print(name, sorted(changed))


def main():
    folder = pathlib.Path(sys.argv[1])
    common = dict(vocab_size=19, dtype="float32")
    llama = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        **common, hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2,
        tie_word_embeddings=False))
    make("lora", llama, LoraConfig(
        r=3, lora_alpha=5, target_modules=["q_proj", "down_proj", "embed_tokens"], use_rslora=True,
        modules_to_save=["lm_head"], rank_pattern={"layers.1.mlp.down_proj": 2},
        alpha_pattern={"q_proj": 7}), folder)
    gpt2 = transformers.GPT2LMHeadModel(transformers.GPT2Config(**common, n_embd=8, n_layer=1, n_head=2, n_positions=8))
    make("lora_gpt2", gpt2, LoraConfig(r=2, lora_alpha=4, target_modules=["c_attn"], fan_in_fan_out=True), folder)


if __name__ == "__main__":
    main()
