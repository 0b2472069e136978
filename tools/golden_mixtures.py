#!/usr/bin/env python3
"""Makes the goldens of mixtures of experts and of latent attention, in golden_forward.py's format:

    python tools/golden_mixtures.py src/forward/testdata

transformers packs all experts of a layer into one tensor; published checkpoints of most families store one
tensor an expert. Weights are drawn under the published names and packed here, so that our reader sees what a
published checkpoint holds; NAME_packed has the same model under transformers' own names, drawn anew.
"""

import json
import pathlib
import sys

import numpy as np
import torch
import transformers
from golden_forward import SEED, blocks_of, config_json, generate, scale_of
from safetensors.numpy import save_file

torch.set_num_threads(1)


def configs():
    common = dict(vocab_size=61, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                  max_position_embeddings=128, bos_token_id=1, eos_token_id=2, dtype="float32",
                  tie_word_embeddings=False)
    default = dict(rope_type="default", rope_theta=10000.0)
    mixtral = transformers.MixtralConfig(
        **common, intermediate_size=40, num_local_experts=4, num_experts_per_tok=2, sliding_window=5,
        rope_parameters=default)
    yield "mixtral", mixtral
    yield "mixtral_packed", mixtral
    # A dense layer between, a shared expert with its switch, weights that do not sum to one.
    yield "qwen2_moe", transformers.Qwen2MoeConfig(
        **{**common, "num_hidden_layers": 3}, intermediate_size=48, moe_intermediate_size=24,
        shared_expert_intermediate_size=40, num_experts=6, num_experts_per_tok=3, norm_topk_prob=False,
        decoder_sparse_step=1, mlp_only_layers=[1], rope_parameters=default)
    yield "qwen3_moe", transformers.Qwen3MoeConfig(
        **common, head_dim=12, intermediate_size=48, moe_intermediate_size=24, num_experts=6,
        num_experts_per_tok=2, norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[],
        rope_parameters=default)
    yield "gpt_oss", transformers.GptOssConfig(
        **common, head_dim=16, intermediate_size=24, num_local_experts=4, num_experts_per_tok=2, sliding_window=5,
        layer_types=["sliding_attention", "full_attention"], attention_bias=True,
        rope_parameters=dict(rope_type="yarn", rope_theta=150000.0, factor=32.0, beta_fast=32.0, beta_slow=1.0,
                             truncate=False, original_max_position_embeddings=64))
    latent = {**common, "num_key_value_heads": 4, "num_hidden_layers": 3}
    mla = dict(intermediate_size=48, moe_intermediate_size=24, kv_lora_rank=16, qk_nope_head_dim=8,
               qk_rope_head_dim=4, v_head_dim=6, n_routed_experts=8, num_experts_per_tok=3, n_shared_experts=2,
               first_k_dense_replace=1)
    # As V2-Lite: queries without a latent.
    yield "deepseek_v2", transformers.DeepseekV2Config(
        **latent, **mla, q_lora_rank=None, topk_method="group_limited_greedy", n_group=4, topk_group=2,
        routed_scaling_factor=1.5, norm_topk_prob=False,
        rope_parameters=dict(rope_type="yarn", rope_theta=10000.0, factor=40.0, beta_fast=32, beta_slow=1,
                             mscale=0.707, mscale_all_dim=0.707, original_max_position_embeddings=64))
    yield "deepseek_v3", transformers.DeepseekV3Config(
        **latent, **mla, q_lora_rank=20, n_group=4, topk_group=2, routed_scaling_factor=2.5,
        norm_topk_prob=True, rope_interleave=True, rope_parameters=default)


def draw(name, shape, tensors, samples):
    exponent, offset = scale_of(name, shape)
    if "experts" in name and len(shape) == 3:
        exponent = -2
    if name.endswith(("sinks", "e_score_correction_bias")) or name.endswith("_bias"):
        exponent, offset = -2, 0.0
    if "gate.weight" in name or "router.weight" in name:  # scores far enough apart that rounding changes no choice
        exponent = 0
    values = generate(name, shape, exponent, offset)
    tensors.append(dict(name=name, shape=list(shape), exponent=exponent, offset=offset))
    for index in (0, values.size // 2, values.size - 1):
        samples.append(dict(name=name, index=index,
                            bits=int(values.reshape(-1)[index : index + 1].view(np.uint32)[0])))
    return torch.from_numpy(values)


def fill(model, family, packed):
    """Draws every weight; returns tensors and samples under the names that the checkpoint would have."""
    tensors, samples = [], []
    get = lambda name, shape: draw(name, shape, tensors, samples)
    for name, parameter in [*model.named_parameters(), *model.named_buffers()]:
        if "inv_freq" in name or name == "freqs_cis":
            continue
        shape = list(parameter.shape)
        if packed or ".experts." not in name or family == "gpt_oss":
            stored = name
            if family == "mixtral" and not packed:
                stored = name.replace(".mlp.gate.", ".block_sparse_moe.gate.")
            parameter.copy_(get(stored, shape))
            continue
        base = name[: name.rindex(".experts.")]
        spelled = ("gate_proj", "up_proj", "down_proj")
        if family == "mixtral":
            base, spelled = base.replace(".mlp", ".block_sparse_moe"), ("w1", "w3", "w2")
        for expert in range(shape[0]):
            of = lambda part: f"{base}.experts.{expert}.{part}.weight"
            if name.endswith("gate_up_proj"):
                half = [shape[1] // 2, shape[2]]
                parameter[expert].copy_(torch.cat([get(of(spelled[0]), half), get(of(spelled[1]), half)]))
            else:
                parameter[expert].copy_(get(of(spelled[2]), shape[1:]))
    return tensors, samples


def filled_mixture(name, config):
    """The model with its generated weights, and what was drawn."""
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    model = model.to(torch.float32).eval()
    with torch.no_grad():
        return model, *fill(model, name.removesuffix("_packed"), name.endswith("_packed"))


def make(name, config, length, folder):
    model, tensors, samples = filled_mixture(name, config)
    blocks = blocks_of(model)
    seen = []
    first = lambda value: value[0] if isinstance(value, (tuple, list)) else value
    blocks[0].register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True)
    for block in blocks:
        block.register_forward_hook(lambda module, args, output: seen.append(first(output)))
    random = np.random.default_rng(SEED)
    sequence = random.integers(3, 61, length).tolist()
    with torch.no_grad():
        logits = model(torch.tensor([sequence]), use_cache=False).logits
    arrays = {"hidden.0": torch.cat(seen).numpy().copy(), "logits.0": logits[0].numpy().copy()}
    save_file(arrays, folder / f"{name}.safetensors")
    golden = dict(config=config_json(config), seed=SEED, tensors=tensors, samples=samples[:12], sequences=[sequence],
                  made_with=f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}")
    (folder / f"{name}.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    norms = [float(np.linalg.norm(layer, axis=1).mean()) for layer in arrays["hidden.0"]]
    print(name, "norms", [round(n, 2) for n in norms], "logits rms",
          round(float(np.sqrt((arrays["logits.0"] ** 2).mean())), 3))


def main():
    folder = pathlib.Path(sys.argv[1])
    for name, config in configs():
        make(name, config, 13, folder)


if __name__ == "__main__":
    main()
