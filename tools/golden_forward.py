#!/usr/bin/env python3
"""Makes the goldens of the forward pass with transformers (pins in requirements.txt).

    python tools/golden_forward.py src/forward/testdata [NAME...]

For each model below it writes

  NAME.json         config.json's content, the generator's seed, the list of tensors, a few generated values as
                    f32 bit patterns, and the token sequences
  NAME.safetensors  hidden.SEQ [layers + 1, tokens, d] (0: embedding, i: output of layer i, before the final
                    norm) and logits.SEQ [tokens, vocab], both f32, eager attention

Weights are not stored: both sides draw them. Element i of a tensor is

    w      = word i % 4 of philox4x32_10(seed, stream = fnv1a64(tensor name), counter = i / 4)
    value  = offset + 2^exponent * ((w >> 8) - 2^23) / 2^23

which is exact in f32 but for the sum with offset, and that one is rounded once: the same bits everywhere.
The C++ side is src/forward/generated_checkpoint.cc.
"""

import json
import math
import pathlib
import sys

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

SEED = 20250523


def philox(key: int, stream: int, counters: np.ndarray) -> np.ndarray:
    """Blocks `counters` [n] of Philox 4x32-10 as [n, 4] 32-bit words."""
    mask = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    n = len(counters)
    x = [
        counters & mask,
        counters >> shift,
        np.full(n, stream & 0xFFFFFFFF, np.uint64),
        np.full(n, stream >> 32, np.uint64),
    ]
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        a = np.uint64(0xD2511F53) * x[0]
        b = np.uint64(0xCD9E8D57) * x[2]
        x = [
            (b >> shift) ^ x[1] ^ np.uint64(k0),
            b & mask,
            (a >> shift) ^ x[3] ^ np.uint64(k1),
            a & mask,
        ]
        k0 = (k0 + 0x9E3779B9) & 0xFFFFFFFF
        k1 = (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(x, axis=1).astype(np.uint32)


def stream_of(name: str) -> int:
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def generate(name: str, shape, exponent: int, offset: float) -> np.ndarray:
    count = math.prod(shape)
    words = philox(SEED, stream_of(name), np.arange((count + 3) // 4, dtype=np.uint64)).reshape(-1)[:count]
    signed = (words >> 8).astype(np.int64) - (1 << 23)
    values = (signed.astype(np.float64) * 2.0 ** (exponent - 23)).astype(np.float32)
    return (np.float32(offset) + values).reshape(shape)


def scale_of(name: str, shape, gain_is_offset=False):
    """(exponent, offset): matrices keep their input's size, gains lie around 1 (around 0 where they act as 1 + g),
    biases are small but felt."""
    lower = name.lower()
    if len(shape) == 1 or "norm" in lower or "ln_" in lower:
        gain = lower.endswith("weight") and ("norm" in lower or "ln_" in lower)
        return -2, 1.0 if gain and not gain_is_offset else 0.0
    if "embed" in name or "wte" in name:
        return 0, 0.0
    if "wpe" in name:
        return -1, 0.0
    fan_in = min(shape) if "c_attn" in name or "c_fc" in name else shape[1]
    return round(math.log2(math.sqrt(3.0 / fan_in))), 0.0


def configs():
    common = dict(vocab_size=61, hidden_size=48, num_hidden_layers=3, num_attention_heads=4,
                  max_position_embeddings=128, bos_token_id=1, eos_token_id=2, dtype="float32")
    yield "llama", transformers.LlamaConfig(
        **common, intermediate_size=80, num_key_value_heads=2, head_dim=16, rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        rope_parameters=dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0,
                             high_freq_factor=4.0, original_max_position_embeddings=32))
    yield "llama_linear", transformers.LlamaConfig(
        **common, intermediate_size=80, num_key_value_heads=1, rms_norm_eps=1e-6, tie_word_embeddings=False,
        attention_bias=True, mlp_bias=True,
        rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0))
    yield "mistral", transformers.MistralConfig(
        **common, intermediate_size=80, num_key_value_heads=2, head_dim=8, sliding_window=5,
        tie_word_embeddings=False, rope_parameters=dict(rope_type="default", rope_theta=10000.0))
    yield "qwen2", transformers.Qwen2Config(
        **common, intermediate_size=80, num_key_value_heads=2, tie_word_embeddings=True,
        use_sliding_window=True, sliding_window=7, max_window_layers=2,
        rope_parameters=dict(rope_type="default", rope_theta=1000000.0))
    yield "gpt2", transformers.GPT2Config(
        vocab_size=61, n_embd=48, n_layer=3, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2,
        dtype="float32")


def more_configs():
    """Other families: they hold the block's remaining switches to transformers. Shorter, to stay small."""
    common = dict(vocab_size=61, num_hidden_layers=2, bos_token_id=1, eos_token_id=2, dtype="float32")
    sizes = dict(hidden_size=48, num_attention_heads=4, max_position_embeddings=128)
    # Parallel residual with two norms, fused QKV per head, partial rotary.
    yield "gpt_neox", transformers.GPTNeoXConfig(
        **common, **sizes, intermediate_size=96, use_parallel_residual=True, tie_word_embeddings=False,
        rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5))
    # Parallel residual with one norm, interleaved rotary.
    yield "gptj", transformers.GPTJConfig(
        vocab_size=61, n_embd=48, n_layer=2, n_head=4, n_positions=64, rotary_dim=8, bos_token_id=1,
        eos_token_id=2, tie_word_embeddings=False, dtype="float32")
    # ALiBi, for heads that are no power of two.
    yield "mpt", transformers.MptConfig(
        vocab_size=61, d_model=48, n_layers=2, n_heads=6, max_seq_len=64, dtype="float32")
    # Norms around attention and FFN, fused gate and up, interleaved partial rotary.
    yield "glm4", transformers.Glm4Config(
        **common, **sizes, intermediate_size=80, num_key_value_heads=2, head_dim=12, attention_bias=True,
        tie_word_embeddings=False, pad_token_id=0,
        rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5))
    # Norms after attention and FFN only, norms of queries and keys.
    yield "exaone4", transformers.Exaone4Config(
        **common, **sizes, intermediate_size=80, num_key_value_heads=2, sliding_window=None, layer_types=["full_attention"] * 2,
        tie_word_embeddings=False, rope_parameters=dict(rope_type="default", rope_theta=10000.0))
    # Norms of the sums, no final norm.
    yield "openai_gpt", transformers.OpenAIGPTConfig(
        vocab_size=61, n_positions=64, n_embd=48, n_layer=2, n_head=4, dtype="float32")
    yield from llama_kin(common, sizes)
    yield from gpt_kin(common, sizes)
    yield from encoders(common, sizes)


def default_rope(theta=10000.0, **others):
    return dict(rope_type="default", rope_theta=theta, **others)


def llama_kin(common, sizes):
    llama = dict(**common, **sizes, intermediate_size=80, num_key_value_heads=2)
    untied = dict(tie_word_embeddings=False, rope_parameters=default_rope())
    yield "qwen3", transformers.Qwen3Config(**llama, **untied, head_dim=16, use_sliding_window=False)
    yield "phi3", transformers.Phi3Config(**llama, **untied, sliding_window=5, pad_token_id=0,
                                          original_max_position_embeddings=128)
    # Both lists of factors: the sequences lie on either side of the original length.
    yield "phi3_longrope", transformers.Phi3Config(
        **{**llama, "num_hidden_layers": 2}, tie_word_embeddings=False, pad_token_id=0,
        original_max_position_embeddings=8,
        rope_parameters=dict(rope_type="longrope", rope_theta=10000.0, original_max_position_embeddings=8,
                             short_factor=[1.0, 1.1, 1.25, 1.5, 1.75, 2.0],
                             long_factor=[1.5, 2.0, 3.0, 4.5, 6.0, 8.0]))
    yield "granite", transformers.GraniteConfig(
        **llama, **untied, attention_bias=True, embedding_multiplier=3.0, residual_multiplier=0.5,
        attention_multiplier=0.2, logits_scaling=4.0, pad_token_id=0)
    yield "smollm3", transformers.SmolLM3Config(
        **llama, tie_word_embeddings=True, rope_parameters=default_rope(2000000.0), no_rope_layers=[1, 0],
        pad_token_id=0, use_sliding_window=False)
    yield "olmo", transformers.OlmoConfig(**llama, **untied, clip_qkv=1.0, pad_token_id=0)
    yield "starcoder2", transformers.Starcoder2Config(
        **llama, tie_word_embeddings=True, rope_parameters=default_rope(), use_bias=True, sliding_window=5)
    half = default_rope(partial_rotary_factor=0.5)
    yield "stablelm", transformers.StableLmConfig(
        **llama, tie_word_embeddings=False, rope_parameters=half, qk_layernorm=True, use_qkv_bias=True,
        use_parallel_residual=False)
    yield "stablelm_parallel", transformers.StableLmConfig(
        **llama, tie_word_embeddings=False, rope_parameters=half, qk_layernorm=False, use_parallel_residual=True)
    yield "cohere", transformers.CohereConfig(
        **llama, tie_word_embeddings=True, rope_parameters=default_rope(), use_qk_norm=True, logit_scale=0.25,
        pad_token_id=0)
    yield "cohere2", transformers.Cohere2Config(
        **llama, tie_word_embeddings=True, rope_parameters=default_rope(), logit_scale=0.25, sliding_window=5,
        layer_types=["sliding_attention", "full_attention"], pad_token_id=0)
    gemma = dict(**llama, head_dim=16, hidden_activation="gelu_pytorch_tanh", tie_word_embeddings=True, pad_token_id=0)
    kinds = dict(sliding_window=5, layer_types=["sliding_attention", "full_attention"])
    yield "gemma", transformers.GemmaConfig(**gemma, rope_parameters=default_rope())
    yield "gemma2", transformers.Gemma2Config(
        **gemma, **kinds, rope_parameters=default_rope(), query_pre_attn_scalar=20, attn_logit_softcapping=2.0,
        final_logit_softcapping=3.0)
    yield "gemma3", transformers.Gemma3TextConfig(
        **gemma, **kinds, query_pre_attn_scalar=20,
        rope_parameters=dict(full_attention=dict(rope_type="linear", rope_theta=1000000.0, factor=8.0),
                             sliding_attention=default_rope()))
    yield "olmo2", transformers.Olmo2Config(**llama, **untied, pad_token_id=0)
    # As llama, but every token sees all.
    yield "llama_bidirectional", transformers.LlamaConfig(**llama, **untied, is_causal=False)
    yield "llama_yarn", transformers.LlamaConfig(
        **llama, tie_word_embeddings=False,
        rope_parameters=dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, beta_fast=8.0, beta_slow=1.0,
                             original_max_position_embeddings=32))


def gpt_kin(common, sizes):
    yield "gpt_neox_sequential", transformers.GPTNeoXConfig(
        **common, **sizes, intermediate_size=96, use_parallel_residual=False, tie_word_embeddings=False,
        attention_bias=False, rope_parameters=default_rope(partial_rotary_factor=0.5))
    yield "gpt_neo", transformers.GPTNeoConfig(
        vocab_size=61, hidden_size=48, num_layers=2, num_heads=4, max_position_embeddings=64, window_size=5,
        attention_types=[[["global", "local"], 1]], intermediate_size=80, bos_token_id=1, eos_token_id=2,
        dtype="float32")
    yield "phi", transformers.PhiConfig(
        **common, **sizes, intermediate_size=80, tie_word_embeddings=False,
        rope_parameters=default_rope(partial_rotary_factor=0.5))
    opt = dict(**common, **sizes, ffn_dim=80, pad_token_id=0)
    yield "opt", transformers.OPTConfig(**opt, word_embed_proj_dim=48)
    # As the 350M model: norms of the sums, embeddings narrower than the states.
    yield "opt_post_norm", transformers.OPTConfig(**opt, do_layer_norm_before=False, word_embed_proj_dim=32)
    yield "bloom", transformers.BloomConfig(
        vocab_size=61, hidden_size=48, n_layer=2, n_head=6, bos_token_id=1, eos_token_id=2, dtype="float32")
    falcon = dict(**common, hidden_size=48, num_attention_heads=4, max_position_embeddings=128)
    yield "falcon", transformers.FalconConfig(
        **falcon, multi_query=True, parallel_attn=True, bias=False, alibi=False, new_decoder_architecture=False)
    yield "falcon_40b", transformers.FalconConfig(
        **falcon, num_kv_heads=2, parallel_attn=True, bias=False, alibi=False, new_decoder_architecture=True,
        num_ln_in_parallel_attn=2)
    yield "falcon_refined_web", transformers.FalconConfig(
        **falcon, num_kv_heads=2, parallel_attn=True, bias=False, alibi=False, new_decoder_architecture=True,
        num_ln_in_parallel_attn=2)
    yield "falcon2_11b", transformers.FalconConfig(
        **falcon, num_kv_heads=2, parallel_attn=True, bias=False, alibi=False, new_decoder_architecture=True,
        num_ln_in_parallel_attn=1)
    yield "falcon_rw", transformers.FalconConfig(
        **falcon, multi_query=False, parallel_attn=False, bias=True, alibi=True, new_decoder_architecture=False)


def refined_web(config):
    """Falcon-40B's first config.json of the same shape."""
    for old, new in dict(num_hidden_layers="n_layer", num_attention_heads="n_head", num_kv_heads="n_head_kv").items():
        config[new] = config.pop(old)
    config.pop("new_decoder_architecture")
    config["model_type"] = "RefinedWeb"
    return config


def encoders(common, sizes):
    yield "bert", transformers.BertConfig(**common, **sizes, intermediate_size=80, type_vocab_size=2)
    yield "roberta", transformers.RobertaConfig(
        **common, **{**sizes, "max_position_embeddings": 66}, intermediate_size=80, type_vocab_size=1)
    yield "distilbert", transformers.DistilBertConfig(
        vocab_size=61, dim=48, hidden_dim=80, n_layers=2, n_heads=4, max_position_embeddings=64, dtype="float32")


def blocks_of(model):
    for path in ("model.layers", "model.decoder.layers", "transformer.h", "transformer.blocks", "gpt_neox.layers",
                 "bert.encoder.layer", "roberta.encoder.layer", "distilbert.transformer.layer"):
        module = model
        for part in path.split("."):
            module = getattr(module, part, None)
            if module is None:
                break
        if module is not None:
            return module
    raise ValueError("no layers found")


def config_json(config):
    """The configuration as save_pretrained writes it, without what no reader needs."""
    values = config.to_dict()
    for key in ("_name_or_path", "transformers_version", "dtype", "output_attentions", "output_hidden_states",
                "return_dict", "chunk_size_feed_forward", "problem_type", "is_encoder_decoder", "id2label",
                "label2id", "use_cache", "pad_token_id", "task_specific_params"):
        values.pop(key, None)
    values["torch_dtype"] = "float32"
    # Older files, by far the most common, say it this way.
    rope = values.pop("rope_parameters", None)
    if rope and "full_attention" in rope:
        values["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = rope["full_attention"]
    if rope:
        values["rope_theta"] = rope.pop("rope_theta")
        if "partial_rotary_factor" in rope:
            key = "rotary_pct" if values["model_type"] == "gpt_neox" else "partial_rotary_factor"
            values[key] = rope.pop("partial_rotary_factor")
        if rope.get("rope_type", "default") != "default":
            values["rope_scaling"] = rope
    return {key: value for key, value in values.items() if value is not None}


def is_masked(config):
    return config.model_type in ("bert", "roberta", "distilbert")


def filled(config, attention, tensors=None, samples=None):
    """The model with its generated weights; what was drawn is appended to the lists."""
    kind = transformers.AutoModelForMaskedLM if is_masked(config) else transformers.AutoModelForCausalLM
    model = kind.from_config(config, attn_implementation=attention).to(torch.float32).eval()
    gain_is_offset = config.model_type.startswith("gemma")
    tensors, samples = tensors if tensors is not None else [], samples if samples is not None else []
    with torch.no_grad():
        for tensor_name, parameter in model.named_parameters():
            shape = list(parameter.shape)
            exponent, offset = scale_of(tensor_name, shape, gain_is_offset)
            values = generate(tensor_name, shape, exponent, offset)
            parameter.copy_(torch.from_numpy(values))
            tensors.append(dict(name=tensor_name, shape=shape, exponent=exponent, offset=offset))
            for index in (0, values.size // 2, values.size - 1):
                samples.append(dict(name=tensor_name, index=index,
                                    bits=int(values.reshape(-1)[index : index + 1].view(np.uint32)[0])))
    return model


def make(name, config, lengths, folder):
    torch.manual_seed(0)
    masked = is_masked(config)
    tensors, samples = [], []
    # Falcon's eager attention adds ALiBi to the mask and to the scores.
    model = filled(config, "sdpa" if getattr(config, "alibi", False) else "eager", tensors, samples)

    blocks = blocks_of(model)
    seen = []
    first = lambda value: value[0] if isinstance(value, (tuple, list)) else value
    blocks[0].register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(args[0] if args else kwargs["hidden_states"]),
        with_kwargs=True)
    for block in blocks:
        block.register_forward_hook(lambda module, args, output: seen.append(first(output)))

    random = np.random.default_rng(SEED)
    sequences = [random.integers(3, 61, length).tolist() for length in lengths]
    arrays = {}
    with torch.no_grad():
        for i, sequence in enumerate(sequences):
            seen.clear()
            logits = model(torch.tensor([sequence]), **({} if masked else dict(use_cache=False))).logits
            arrays[f"hidden.{i}"] = torch.cat(seen).numpy().copy()
            arrays[f"logits.{i}"] = logits[0].numpy().copy()
    save_file(arrays, folder / f"{name}.safetensors")
    written = config_json(config)
    if name == "falcon_refined_web":
        written = refined_web(written)
    golden = dict(config=written, seed=SEED, tensors=tensors, samples=samples[:12],
                  sequences=sequences,
                  made_with=f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}")
    (folder / f"{name}.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    norms = [float(np.linalg.norm(layer, axis=1).mean()) for layer in arrays["hidden.0"]]
    print(name, "norms", [round(n, 2) for n in norms], "logits rms",
          round(float(np.sqrt((arrays["logits.0"] ** 2).mean())), 3))


def main():
    torch.set_num_threads(1)
    folder = pathlib.Path(sys.argv[1])
    wanted = set(sys.argv[2:])
    folder.mkdir(parents=True, exist_ok=True)
    for name, config in configs():
        if not wanted or name in wanted:
            make(name, config, (29, 6), folder)
    for name, config in more_configs():
        if not wanted or name in wanted:
            make(name, config, (13, 6) if name == "phi3_longrope" else (13,), folder)


if __name__ == "__main__":
    main()
