#!/usr/bin/env python3
"""Makes the goldens of quantization with PyTorch (pins in requirements.txt).

    python tools/golden_quantize.py src/quantize/testdata

Writes arithmetic.safetensors (RTN, FP8 and SmoothQuant on small drawn matrices: steps, integers, outputs) and
perplexity.json (zoo models by transformers on zoo/heldout.txt: tokens, windows, mean loss; the same with every
linear layer's weights and inputs quantized and dequantized, one step a tensor).
"""

import json
import pathlib
import sys

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

from golden_forward import generate

ZOO = pathlib.Path(__file__).resolve().parent.parent / "zoo"


def drawn(name, shape, exponent=0, offset=0.0):
    return torch.from_numpy(generate(name, shape, exponent, offset).copy())


def step_of(values, limit, dim=None):
    """max|X| / limit of the whole or along `dim`, as f32."""
    largest = values.abs().amax() if dim is None else values.abs().amax(dim, keepdim=True)
    return largest / limit


def integers(values, step, limit):
    return torch.clamp(torch.round(values / step), -limit, limit)


def product(x, x_step, w, w_step, bias):
    """Exact integer product, rescaled in f64."""
    return (x.double() @ w.double().T) * x_step.double() * w_step.double().reshape(1, -1) + bias.double()


def arithmetic():
    x = drawn("x", (24, 40))
    x[3, 7] *= 30  # an outlier, as a high-norm token brings
    w, bias = drawn("w", (32, 40), -2), drawn("bias", (32,), -1)
    out = dict(x=x, w=w, bias=bias)

    xs, ws = step_of(x, 127), step_of(w, 127)
    xi, wi = integers(x, xs, 127), integers(w, ws, 127)
    out.update({"rtn.x_step": xs.reshape(1), "rtn.w_step": ws.reshape(1), "rtn.x": xi.to(torch.int8),
                "rtn.w": wi.to(torch.int8), "rtn.y": product(xi, xs, wi, ws, bias).float()})

    xs, ws = step_of(x, 127, 1), step_of(w, 127, 1)
    xi, wi = integers(x, xs, 127), integers(w, ws, 127)
    out.update({"token.x_step": xs[:, 0].contiguous(), "token.w_step": ws[:, 0].contiguous(),
                "token.x": xi.to(torch.int8), "token.w": wi.to(torch.int8),
                "token.y": product(xi, xs, wi, ws, bias).float()})

    groups = w.reshape(32, 5, 8)
    ws = step_of(groups, 7, 2)
    fake = (integers(groups, ws, 7) * ws).reshape(32, 40)
    out.update({"w4g8.w": fake, "w4g8.y": (x.double() @ fake.double().T + bias.double()).float()})

    xs, ws = step_of(x, 448), step_of(w, 448)
    x8 = (x / xs).to(torch.float8_e4m3fn).float() * xs
    w8 = (w / ws).to(torch.float8_e4m3fn).float() * ws
    out.update({"fp8.x": x8, "fp8.w": w8, "fp8.y": (x8.double() @ w8.double().T + bias.double()).float()})

    # SmoothQuant on a norm and the two matrices it feeds.
    gain, second = drawn("gain", (40,), -2, 1.0), drawn("second", (16, 40), -1)
    normed = x / (x.double().pow(2).mean(1, keepdim=True) + 1e-5).sqrt().float() * gain
    out.update(gain=gain, second=second, normed=normed)
    for alpha in (0.5, 0.8):
        inputs = normed.abs().amax(0).clamp(min=1e-5)
        weights = torch.maximum(w.abs().amax(0), second.abs().amax(0)).clamp(min=1e-5)
        s = (inputs.pow(alpha) / weights.pow(1 - alpha)).clamp(min=1e-5)
        smooth_x, smooth_w = normed / s, w * s
        xs, ws = step_of(smooth_x, 127), step_of(smooth_w, 127)
        xi, wi = integers(smooth_x, xs, 127), integers(smooth_w, ws, 127)
        p = f"smooth{alpha}."
        out.update({p + "s": s, p + "gain": gain / s, p + "w_step": ws.reshape(1), p + "x": xi.to(torch.int8),
                    p + "w": wi.to(torch.int8), p + "y": product(xi, xs, wi, ws, bias).float()})
    return out


def joined(text):
    """A text file as the usual scripts see it: the dataset's rows (lines with their end, blank ones empty) joined by two
    newlines."""
    rows = [line if line.strip() else "" for line in text.splitlines(keepends=True)]
    return "\n\n".join(rows)


def fake(values):
    step = step_of(values, 127)
    return integers(values, step, 127) * step


def matmuls(model):
    for name, module in model.named_modules():
        if isinstance(module, (torch.nn.Linear, transformers.pytorch_utils.Conv1D)) and "head" not in name and "embed_out" not in name:
            yield name, module


@torch.no_grad()
def mean_loss(model, ids, window):
    losses = []
    for begin in range(0, len(ids) - window + 1, window):
        part = torch.tensor([ids[begin : begin + window]])
        logits = model(part, use_cache=False).logits[0, :-1].double()
        losses.append(torch.nn.functional.cross_entropy(logits, part[0, 1:], reduction="sum").item())
    return sum(losses) / (len(losses) * (window - 1)), losses


def zoo_model(name):
    folder = ZOO / name
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    window = model.config.max_position_embeddings
    ids = tokenizer(joined((ZOO / "heldout.txt").read_text(encoding="utf-8")))["input_ids"]
    loss, losses = mean_loss(model, ids, window)
    for _, module in matmuls(model):
        module.weight.data = fake(module.weight.data)
        module.register_forward_pre_hook(lambda module, args: (fake(args[0]),))
    rtn, _ = mean_loss(model, ids, window)
    print(name, len(ids), len(losses), loss, rtn)
    return dict(model=name, window=window, tokens=len(ids), windows=len(losses), first_ids=ids[:20], mean_loss=loss,
                window_losses=losses[:5], rtn_mean_loss=rtn)


def main():
    torch.set_num_threads(1)
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in arithmetic().items()}, folder / "arithmetic.safetensors")
    models = [zoo_model(name) for name in ("llama-base", "llama-window", "gpt2-mini")]
    made = f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}"
    (folder / "perplexity.json").write_text(json.dumps(dict(made_with=made, models=models), indent=1) + "\n")


if __name__ == "__main__":
    main()
