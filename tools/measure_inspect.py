#!/usr/bin/env python3
"""What opening a 13.5 GB checkpoint and printing `inspect` costs, from safetensors and from GGUF.

    python tools/measure_inspect.py build/release/defectoscope

Makes two files of LLaMA2-7B's shape in f16 in a temporary folder, sparse: headers of real size, data that take no
disk and read as zeros. Prints wall times of seven runs each, and the most memory a run held (RssAnon: its own, beside
what is mapped; VmHWM: all of it). Needs nothing but Python.
"""

import json
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import time

WIDTH, FFN, LAYERS, VOCABULARY, HEADS = 4096, 11008, 32, 32000, 32
GGUF_NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
}


def tensors():
    yield "model.embed_tokens", [VOCABULARY, WIDTH]
    for layer in range(LAYERS):
        stem = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield stem + norm, [WIDTH]
        for part in "qkvo":
            yield stem + f"self_attn.{part}_proj", [WIDTH, WIDTH]
        for part in ("gate", "up"):
            yield stem + f"mlp.{part}_proj", [FFN, WIDTH]
        yield stem + "mlp.down_proj", [WIDTH, FFN]
    yield "model.norm", [WIDTH]
    yield "lm_head", [VOCABULARY, WIDTH]


def size_of(shape):
    return 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)


def write_sparse(path, head, data):
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(len(head) + data)


def write_safetensors(folder):
    folder.mkdir()
    header, at = {}, 0
    for name, shape in tensors():
        header[name + ".weight"] = dict(dtype="F16", shape=shape, data_offsets=[at, at + size_of(shape)])
        at += size_of(shape)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    write_sparse(folder / "model.safetensors", struct.pack("<Q", len(text)) + text, at)
    config = dict(model_type="llama", hidden_size=WIDTH, intermediate_size=FFN, num_hidden_layers=LAYERS,
                  num_attention_heads=HEADS, vocab_size=VOCABULARY, max_position_embeddings=4096, rms_norm_eps=1e-5)
    (folder / "config.json").write_text(json.dumps(config))


def write_gguf(path):
    text = lambda value: struct.pack("<Q", len(value)) + value.encode()
    pairs = [text("general.architecture") + struct.pack("<I", 8) + text("llama"),
             text("llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", 6, 1e-5)]
    for key, value in {"embedding_length": WIDTH, "block_count": LAYERS, "attention.head_count": HEADS,
                       "feed_forward_length": FFN, "context_length": 4096}.items():
        pairs.append(text("llama." + key) + struct.pack("<II", 4, value))
    entries, at, count = b"", 0, 0
    for name, shape in tensors():
        layer = re.match(r"model\.layers\.(\d+)\.(.*)", name)
        gguf = f"blk.{layer[1]}.{GGUF_NAMES[layer[2]]}" if layer else GGUF_NAMES[name]
        entries += text(gguf + ".weight") + struct.pack("<I", len(shape))
        entries += b"".join(struct.pack("<Q", length) for length in reversed(shape)) + struct.pack("<IQ", 1, at)
        at, count = at + size_of(shape), count + 1
    head = b"GGUF" + struct.pack("<IQQ", 3, count, len(pairs)) + b"".join(pairs) + entries
    write_sparse(path, head + b"\0" * (-len(head) % 32), at)


def run(program, model):
    begin = time.perf_counter()
    process = subprocess.Popen([program, "inspect", str(model)], stdout=subprocess.PIPE)
    most = dict(RssAnon=0, VmHWM=0)
    while process.poll() is None:
        try:
            for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
                key = line.split(":")[0]
                if key in most:
                    most[key] = max(most[key], int(line.split()[1]))
        except OSError:
            pass
        time.sleep(0.0005)
    seconds = time.perf_counter() - begin
    assert process.returncode == 0 and b"Complete" in process.stdout.read()
    return seconds, most


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        write_safetensors(folder / "safetensors")
        write_gguf(folder / "model.gguf")
        for model in (folder / "safetensors", folder / "model.gguf"):
            runs = [run(sys.argv[1], model) for _ in range(7)]
            most = {key: max(memory[key] for _, memory in runs) / 1024 for key in ("RssAnon", "VmHWM")}
            print(f"{model.name}: {' '.join(f'{seconds:.3f}' for seconds, _ in runs)} s, "
                  f"RssAnon {most['RssAnon']:.1f} MiB, VmHWM {most['VmHWM']:.1f} MiB")


if __name__ == "__main__":
    main()
