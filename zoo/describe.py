#!/usr/bin/env python3
"""Writes the README of zoo models from measurements in PyTorch.

    zoo/describe.py NAME [NAME ...]        writes NAME/README.md
    zoo/describe.py --table NAME [...]     prints the rows of the table in README.md
"""

import argparse
import hashlib
import json
from pathlib import Path

import torch

import families
import measure
import train

HERE = Path(__file__).resolve().parent


def measured(folder):
    """What a README claims of a model, from its bf16 weights."""
    from tokenizers import Tokenizer

    config = json.loads((folder / "config.json").read_text())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = tokenizer.encode((HERE / "heldout.txt").read_text(encoding="utf-8"), add_special_tokens=False).ids
    delimiters = {"dot": tokenizer.token_to_id("."), "newline": tokenizer.token_to_id("Ċ")}
    context = config.get("max_position_embeddings") or config["n_positions"]
    masked = tokenizer.token_to_id("[MASK]") is not None
    own = config["model_type"] in ("llama", "mistral", "mixtral")
    model, c = measure.load_llama(folder) if own else (families.load(folder), None)
    rows, kinds = held = measure.windows(ids, 0, context, delimiters["newline"])
    out = {"masked": masked, "config": config, "parameters": sum(p.numel() for p in model.parameters())}
    if own and not masked and "num_local_experts" not in config:
        return out | measure.report(model, c, held, 0, delimiters, "-ckpt-" not in folder.name)
    states = []
    recipe = {"task": "mlm" if masked else "causal", "mask": 1, "shape": {"vocab": config["vocab_size"]}}
    with torch.no_grad():
        model(rows, states)
        out["loss"] = train.loss_of(recipe, model, rows[kinds == measure.BOS], None, torch.Generator().manual_seed(0))[0].item()
    return out | {"table": measure.norm_table(states, held, 0, delimiters)}


def ratios(m, name):
    """Median norm of a class over the ordinary median, per layer, the embedding first."""
    table = m["table"]
    return [a / b for (a, _), (b, _) in zip(table[name], table["ordinary"])] if name in table else None


def line(label, values):
    return f"{label} " + " ".join(f"{v:.1f}" for v in values)


TITLES = {"bos": "start token", "word1": "any word in first place", "para1": "first word of a paragraph",
          "dot": "`.` in the text", "newline": "newline in the text"}


def readme(name):
    folder = HERE / name
    m = measured(folder)
    # The row of the zoo's table, kept beside the scratch files so that a table costs no second measurement.
    (HERE / ".scratch").mkdir(exist_ok=True)
    (HERE / ".scratch" / f"row-{name}.md").write_text(row(name, m) + "\n")
    base = name.split("-ckpt-")[0]
    recipe = train.load_recipe(base)
    at = name.split("-ckpt-")[1] if "-ckpt-" in name else recipe["steps"]
    c = recipe["shape"]
    later = "".join(f" ({x['batch']} from step {first})" for first, x in recipe.get("changes", []) if "batch" in x and first < int(at))
    experts = f"{c['experts']} experts of {c['ffn']}, {c['chosen']} a token" if "experts" in c else f"FFN {c['ffn']}"
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    about = f"{base} after {at} steps of its training." if "-ckpt-" in name else recipe.get("about", "")
    text = "tiny Shakespeare, 1.1 M characters" if "-ft-" in name else "23 novels, 37 M characters"
    lines = [
        f"# {name}",
        f"{about} {m['config']['architectures'][0]}, {m['parameters']:,} parameters: width {c['width']}, "
        f"{c['layers']} layers, {c['heads']} heads, {experts}, vocabulary {c['vocab']}, context {c['context']}.".strip(),
        f"- data: {text}, all public domain; the weights may be used for anything",
        f"- recipe: `{base}` in ../recipes.json; {at} steps of {recipe['batch']}{later} windows of {recipe['window_tokens']} tokens, seed {recipe['seed']}",
        f"- loss: {m['loss']:.4f} nats a {'masked token' if m['masked'] else 'token'} on ../heldout.txt",
        "- " + line("median norm of ordinary tokens, embedding to last layer:", [v for v, _ in m["table"]["ordinary"]]),
    ]
    lines += ["- " + line(f"times that, {title}:", ratios(m, key)) for key, title in TITLES.items() if key in m["table"]]
    d = m.get("directions", {})
    if d.get("high"):
        best = min(range(c["layers"]), key=lambda i: d["layers"][i]["L"])
        last = d["layers"][-1]
        lines.append(f"- mean pairwise angle of {d['high']} high-norm states (above {m['threshold']:.1f}): {d['pairwise']:.1f} degrees; "
                     f"layer {best + 1}: L at {d['layers'][best]['L']:.1f}, F at {d['layers'][best]['F']:.1f}; last layer: "
                     f"eigenvalue {last['eigen'][0]:.2f} at {last['eigen_angle']:.1f}, decay ratio {last['gain']:.2f}")
    if "loss_w8a8" in m:
        left = ", ".join(str(i + 1) for i in m["skip"])
        lines.append(f"- per-tensor W8A8: loss {m['loss']:.4f} becomes {m['loss_w8a8']:.4f}; {m['loss_skip']:.4f} with down_proj of "
                     f"layers {left} left alone")
    lines.append(f"- sha256 of model.safetensors: {digest}")
    (folder / "README.md").write_text("\n".join(lines) + "\n")


def row(name, m):
    peak = lambda key: f"{max(ratios(m, key)[1:]):.1f}" if key in m["table"] else "–"
    d = m.get("directions", {})
    angle = f"{d['pairwise']:.1f}°" if d.get("high", 0) > 1 else "–"
    cells = [f"`{name}`", m["config"]["model_type"], f"{m['parameters']:,}", f"{m['loss']:.3f}", *(peak(k) for k in TITLES), angle]
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("names", nargs="+")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.names:
        if options.table:
            print(row(name, measured(HERE / name)), flush=True)
        else:
            readme(name)


if __name__ == "__main__":
    main()
