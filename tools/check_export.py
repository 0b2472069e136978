#!/usr/bin/env python3
"""Loads a folder that `defectoscope quantize --export` wrote with transformers (and compressed-tensors, which dequantizes the
weights and quantizes the inputs as the file says), and prints its loss on a text, for comparison with `defectoscope
perplexity`:

    python tools/check_export.py EXPORTED TEXT --window 32
    defectoscope perplexity MODEL --text TEXT --quantize rtn --static --skip LAYERS

Of a mixture of experts, with --experts, weights alone count, inputs stay as they are; compare with our own reading of the folder:

    python tools/check_export.py EXPORTED TEXT --window 32 --experts
    defectoscope perplexity EXPORTED --text TEXT --window 32

Needs torch, transformers 5.23.0, compressed-tensors 0.20.0.
"""
import argparse
import math
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, CompressedTensorsConfig
from transformers.integrations import compressed_tensors as integration

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("folder", type=Path)
parser.add_argument("text", type=Path)
parser.add_argument("--window", type=int, default=2048)
parser.add_argument("--experts", action="store_true", help="bridge what transformers 5.23 lacks for experts in int8")
arguments = parser.parse_args()

torch.set_num_threads(1)
tokenizer = AutoTokenizer.from_pretrained(arguments.folder)
options = {}
if arguments.experts:
    # As it joins a layer's experts, CompressedTensorsDequantize multiplies FP8 by its scales, unpacks packed integers and drops all
    # else: int8, and experts left in 16 bits. The FP8 branch is what int8 needs too.
    scheme_of_experts = integration.get_experts_scheme

    def as_floats(config):
        scheme = scheme_of_experts(config).model_copy(deep=True)
        scheme.weights.type = "float"
        return scheme

    integration.get_experts_scheme = as_floats
    options["quantization_config"] = CompressedTensorsConfig(dequantize=True)
model = AutoModelForCausalLM.from_pretrained(arguments.folder, dtype=torch.float32, **options).eval()
quantized = [name for name, module in model.named_modules() if getattr(module, "quantization_scheme", None)]
lines = arguments.text.read_text(encoding="utf-8").splitlines(keepends=True)
ids = tokenizer("\n\n".join(line if line.strip() else "" for line in lines), return_tensors="pt").input_ids[0]
loss, targets = 0.0, 0
with torch.no_grad():
    for start in range(0, len(ids) - arguments.window + 1, arguments.window):
        window = ids[start : start + arguments.window]
        logits = model(window[None]).logits[0, :-1].double()
        loss += torch.nn.functional.cross_entropy(logits, window[1:], reduction="sum").item()
        targets += len(window) - 1
print(f"{len(quantized)} modules that quantize, {targets} targets, loss {loss / targets:.6f}, perplexity {math.exp(loss / targets):.5f}")
