#!/usr/bin/env python3
"""Measures the singular defects of a zoo model in PyTorch: the search's own eyes.

The figures that ship are made by the program's scan; this script exists to steer training and to check the scan.

    zoo/measure.py FOLDER [--text zoo/heldout.txt] [--json]
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F


# ---------------------------------------------------------------- norms

BOS, WORD, PARAGRAPH = 0, 1, 2


def classes(held, bos, delimiters):
    """Names of the token classes and, for each, a mask over the ids [rows, tokens]."""
    ids, kinds = held
    position = torch.arange(ids.shape[1]).expand_as(ids)
    delimiter = torch.isin(ids, torch.tensor(list(delimiters.values()), dtype=ids.dtype))
    first = (position == 0) & (ids != bos) & ~delimiter
    kinds = kinds[:, None]
    out = {"bos": ids == bos, "word1": first & (kinds == WORD), "para1": first & (kinds == PARAGRAPH)}
    for name, token in delimiters.items():
        out[name] = (ids == token) & (position > 0)
    out["ordinary"] = (position >= 4) & ~delimiter & (ids != bos) & ~after(ids, delimiters.get("newline", -1))
    return out


def after(ids, token):
    """Mask of the tokens that follow `token`."""
    mask = torch.zeros_like(ids, dtype=torch.bool)
    mask[:, 1:] = ids[:, :-1] == token
    return mask


def windows(ids, bos, context, newline):
    """The text cut into windows [rows, context] and each row's kind: begun with the start token, with an ordinary word,
    with the first word of a paragraph."""
    ids = torch.as_tensor(np.asarray(ids, np.int64))
    rows = ids.unfold(0, context, max(1, context // 2))
    with_bos = torch.cat([torch.full((len(rows), 1), bos), rows[:, :-1]], 1)
    starts = [0] + (1 + (ids == newline).nonzero()[:, 0]).tolist()
    paragraphs = torch.stack([ids[s : s + context] for s in starts if s + context <= len(ids)])
    kinds = torch.tensor([BOS] * len(rows) + [WORD] * len(rows) + [PARAGRAPH] * len(paragraphs))
    return torch.cat([with_bos, rows, paragraphs]), kinds


@torch.no_grad()
def norm_table(states, held, bos, delimiters):
    """Per class a list over layers of (median, maximum) norms."""
    masks = classes(held, bos, delimiters)
    norms = [s.float().norm(dim=-1) for s in states]
    return {
        name: [(n[mask].median().item(), n[mask].max().item()) for n in norms]
        for name, mask in masks.items()
        if mask.any()
    }


def progress(table):
    """One line: ordinary medians, then per class the ratio of its median to theirs (and of its maximum)."""
    ordinary = [m for m, _ in table["ordinary"]]
    parts = ["ord " + " ".join(f"{m:.2g}" for m in ordinary)]
    for name, values in table.items():
        if name != "ordinary":
            parts.append(f"{name} " + " ".join(f"{m / o:.1f}" for (m, _), o in zip(values, ordinary)))
    for name in ("word1", "dot", "newline"):
        if name in table:
            parts.append(f"{name}^ " + " ".join(f"{x / o:.1f}" for (_, x), o in zip(table[name], ordinary)))
    return " | ".join(parts)


# ---------------------------------------------------------------- directions

def angle(u, v):
    return math.degrees(math.acos(min(1.0, abs(float(u @ v)) / (float(u.norm() * v.norm()) + 1e-30))))


def hermite_silu(v):
    """E[silu(a)], E[silu''(a)] for a ~ N(0, v), by the trapezoid rule (THEORY.md, section 1)."""
    s = v.clamp_min(1e-30).sqrt()[:, None]
    z = torch.linspace(-9, 9, 2001, dtype=torch.float64)[None]
    weight = torch.exp(-z * z / 2) / math.sqrt(2 * math.pi) * (18 / 2000)
    a = s * z
    g = torch.sigmoid(a)
    first = g * (1 - g)
    return (weight * a * g).sum(1), (weight * (2 * first + a * first * (1 - 2 * g))).sum(1)


def linear_layer(state, c, i):
    """A and F of layer i (0-based) of a LLaMA state dict, with the covariance diag(g^2)."""
    p = f"model.layers.{i}."
    w = {k[len(p):]: t.double() for k, t in state.items() if k.startswith(p)}
    a = w["self_attn.o_proj.weight"] @ w["self_attn.v_proj.weight"].view(
        c["kv_heads"], -1, c["width"]
    ).repeat_interleave(c["heads"] // c["kv_heads"], 0).reshape(-1, c["width"]) * w["input_layernorm.weight"]
    g = w["post_attention_layernorm.weight"]
    w1, w3, w2 = w["mlp.gate_proj.weight"], w["mlp.up_proj.weight"], w["mlp.down_proj.weight"]
    v, cross = ((w1 * g) ** 2).sum(1), ((w1 * g) * (w3 * g)).sum(1)
    mean, curve = hermite_silu(v)
    rows = (cross * curve)[:, None] * w1 + mean[:, None] * w3
    return a, w2 @ rows * g


def directions(model, c, states, threshold):
    """Empirical direction, pairwise angle and, per layer, the angles of the layer's own vectors to it."""
    high = [s[s.norm(dim=-1) > threshold] for s in states[1:-1]]
    high = torch.cat(high).double()
    if not len(high):
        return {"high": 0}
    unit = F.normalize(high, dim=1)
    pick = unit[torch.randperm(len(unit), generator=torch.Generator().manual_seed(0))[:1500]]
    cosine = (pick @ pick.T).clamp(-1, 1)
    off = ~torch.eye(len(pick), dtype=torch.bool)
    out = {"high": len(high), "pairwise": torch.rad2deg(torch.acos(cosine[off])).mean().item()}
    d = F.normalize(unit.mean(0), dim=0)
    state = model.state_dict()
    out["layers"] = []
    for i in range(c["layers"]):
        a, f = linear_layer(state, c, i)
        eye = torch.eye(c["width"], dtype=torch.float64)
        full = (eye + f) @ (eye + a)
        values, vectors = torch.linalg.eig(full - eye)
        angles = []
        for k in range(len(values)):
            re, im = vectors[:, k].real, vectors[:, k].imag
            if im.norm() > 1e-9:
                q, _ = torch.linalg.qr(torch.stack([re, im], 1))
                angles.append(math.degrees(math.acos(min(1.0, float((q.T @ d).norm())))))
            else:
                angles.append(angle(re, d))
        k = int(np.argmin(angles))
        # The real layer on its high-norm inputs: -1 is perfect decay.
        before, after = states[i], states[i + 1]
        mask = before.norm(dim=-1) > threshold
        along = before[mask].double() @ d
        gain = (after[mask].double() @ d - along) / along if mask.any() else torch.tensor([float("nan")])
        out["layers"].append(
            {
                "L": angle(torch.linalg.svd(full)[0][:, 0], d),
                "F": angle(torch.linalg.svd(f)[0][:, 0], d),
                "eigen": [values[k].real.item(), values[k].imag.item()],
                "eigen_angle": angles[k],
                "gain": gain.median().item(),
            }
        )
    return out


# ---------------------------------------------------------------- quantization

def fake_quantize(x):
    step = x.abs().amax() / 127
    return (x / step).round().clamp(-127, 127) * step


@torch.no_grad()
def loss_of(model, ids, quantize=False, skip=()):
    """Mean token loss on windows that begin with the start token; `skip`: layers whose down_proj stays in floating point."""
    handles, saved = [], []
    if quantize:
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Linear) and "lm_head" not in name:
                if "down_proj" in name and int(name.split("layers.")[1].split(".")[0]) in skip:
                    continue
                saved.append((module, module.weight.data))
                module.weight.data = fake_quantize(module.weight.data)
                handles.append(module.register_forward_pre_hook(lambda m, a: (fake_quantize(a[0]),)))
    logits = torch.cat([model(rows[:, :-1]) for rows in ids.split(64)])
    for handle in handles:
        handle.remove()
    for module, weight in saved:
        module.weight.data = weight
    return F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten()).item()


def skip_set(table):
    """Layers (0-based) that explode or decay: where the median norm of a class that reaches five times the ordinary one grows
    by a quarter or falls to a half."""
    out = set()
    for name, values in table.items():
        if name != "ordinary" and max(a / b for (a, _), (b, _) in zip(values, table["ordinary"])) > 5:
            norms = [a for a, _ in values]
            out |= {i for i in range(len(norms) - 1) if norms[i + 1] > 1.25 * norms[i] or norms[i + 1] < 0.5 * norms[i]}
    return tuple(sorted(out))


def load_llama(folder):
    """Our own LLaMA from a Hugging Face folder, in float32."""
    from safetensors.torch import load_file

    from llama import Llama

    config = json.loads((Path(folder) / "config.json").read_text())
    rope = config.get("rope_theta") or config.get("rope_parameters", {}).get("rope_theta", 10000.0)
    c = dict(width=config["hidden_size"], layers=config["num_hidden_layers"], heads=config["num_attention_heads"],
             kv_heads=config["num_key_value_heads"], ffn=config["intermediate_size"], vocab=config["vocab_size"],
             context=config["max_position_embeddings"], rope_theta=rope, eps=config["rms_norm_eps"],
             embed_std=0.02, std=0.02, window=config.get("sliding_window") or 0,
             causal=config.get("is_causal", True))
    if "num_local_experts" in config:
        c |= {"experts": config["num_local_experts"], "chosen": config["num_experts_per_tok"]}
    model = Llama(c)
    model.load_state_dict({k: v.float() for k, v in load_file(str(Path(folder) / "model.safetensors")).items()})
    return model.eval(), c


def report(model, c, held, bos, delimiters, quantized=True):
    """Everything of one LLaMA on held-out windows; `quantized`: with the losses under W8A8."""
    rows, kinds = held
    states = []
    with torch.no_grad():
        logits = model(rows, states)
    table = norm_table(states, held, bos, delimiters)
    ordinary = [m for m, _ in table["ordinary"]]
    peak = max(max(m for m, _ in v) for k, v in table.items() if k != "ordinary")
    threshold = max(peak / 2, 3 * max(ordinary[:-1]))
    with_bos = rows[kinds == BOS]
    loss = F.cross_entropy(logits[kinds == BOS][:, :-1].flatten(0, 1), with_bos[:, 1:].flatten()).item()
    out = {"table": table, "threshold": threshold, "directions": directions(model, c, states, threshold), "loss": loss}
    if quantized:
        out["skip"] = skip_set(table)
        out["loss_w8a8"] = loss_of(model, with_bos, True)
        out["loss_skip"] = loss_of(model, with_bos, True, out["skip"])
    return out


def main():
    from tokenizers import Tokenizer

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--text", default=str(Path(__file__).parent / "heldout.txt"))
    parser.add_argument("--context", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(str(Path(options.folder) / "tokenizer.json"))
    ids = tokenizer.encode(Path(options.text).read_text(encoding="utf-8"), add_special_tokens=False).ids
    delimiters = {"dot": tokenizer.token_to_id("."), "newline": tokenizer.token_to_id("Ċ")}
    model, c = load_llama(options.folder)
    held = windows(ids, 0, options.context or c["context"], delimiters["newline"])
    out = report(model, c, held, 0, delimiters)
    if options.json:
        print(json.dumps(out))
        return
    print(progress(out["table"]).replace(" | ", "\n"))
    d = out["directions"]
    print(f"threshold {out['threshold']:.1f}, high-norm states {d['high']}, pairwise angle {d.get('pairwise', -1):.2f}")
    for i, layer in enumerate(d.get("layers", []), 1):
        print(f"layer {i}: L {layer['L']:.1f} F {layer['F']:.1f} eigen {layer['eigen'][0]:.2f}{layer['eigen'][1]:+.2f}i "
              f"at {layer['eigen_angle']:.1f}, gain {layer['gain']:.2f}")
    print(f"loss {out['loss']:.4f} W8A8 {out['loss_w8a8']:.4f}, {out['loss_skip']:.4f} with down_proj of layers "
          f"{', '.join(str(i + 1) for i in out['skip'])} left alone")


if __name__ == "__main__":
    main()
