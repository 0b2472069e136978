#!/usr/bin/env python3
"""Holds `defectoscope perplexity` against transformers on whole texts: tokens, windows, targets, perplexity.

    python tools/check_perplexity.py PROGRAM GOLDEN TEXT...

Needs requirements.txt. llama-base and gpt2-mini of the zoo, as stored, in windows of their context. Fails where a count
differs, or a perplexity by more than 1e-4 of itself. docs/quantization.md keeps the output. GOLDEN
(src/quantize/testdata/wikitext.json) gets transformers' counts, and its mean loss over each text's first windows.
"""

import json
import math
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers

from golden_quantize import ZOO, joined

AT_ONCE, TOLERANCE, FIRST = 128, 1e-4, 128  # windows in a pass; relative; windows of the golden


@torch.no_grad()
def by_transformers(name, text):
    model = transformers.AutoModelForCausalLM.from_pretrained(ZOO / name, dtype=torch.float32,
                                                              attn_implementation="eager").eval()
    window = model.config.max_position_embeddings
    ids = transformers.AutoTokenizer.from_pretrained(ZOO / name)(joined(text))["input_ids"]
    windows = torch.tensor(ids[: len(ids) // window * window]).reshape(-1, window)
    losses = []
    for part in windows.split(AT_ONCE):
        logits = model(part, use_cache=False).logits[:, :-1].double()
        each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), part[:, 1:], reduction="none").mean(1)
        losses += each.tolist()
    first = sum(losses[:FIRST]) / FIRST
    return len(ids), len(losses), len(losses) * (window - 1), math.exp(sum(losses) / len(losses)), first


def by_program(program, name, path):
    with tempfile.TemporaryDirectory() as out:
        run = subprocess.run([program, "perplexity", str(ZOO / name), "--text", str(path), "--json", "--out", out],
                             check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    result = json.loads(run.stdout)
    return result["text"]["tokens"], len(result["windows"]), result["targets"], result["perplexity"]


def main():
    torch.set_num_threads(1)
    failed, golden = False, []
    for path in map(pathlib.Path, sys.argv[3:]):
        text = path.read_text(encoding="utf-8")
        for name in ("llama-base", "gpt2-mini"):
            wanted, got = by_transformers(name, text), by_program(sys.argv[1], name, path)
            golden.append({"text": path.name, "model": name, "tokens": wanted[0], "windows": wanted[1],
                           "first_windows": FIRST, "first_mean_loss": wanted[4]})
            difference = got[3] / wanted[3] - 1
            same = wanted[:3] == got[:3] and abs(difference) < TOLERANCE
            failed |= not same
            print(f"{path.name:24} {name:10} {got[0]} tokens, {got[1]} windows, {got[2]} targets: perplexity {got[3]:.4f}, "
                  f"transformers {wanted[3]:.4f} ({difference:+.1e}): {'the same' if same else f'NOT THE SAME: {wanted}'}",
                  flush=True)
    made = f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}"
    pathlib.Path(sys.argv[2]).write_text(json.dumps({"made_with": made, "texts": golden}, indent=1) + "\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
