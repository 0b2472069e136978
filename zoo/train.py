#!/usr/bin/env python3
"""Trains one model of the zoo.

    zoo/train.py --model NAME --text PATHS... --out DIR [--scratch DIR] [--device cpu] [--threads 1]

NAME is an entry of recipes.json; DIR receives a Hugging Face folder (config.json, model.safetensors in bf16, tokenizer.json,
tokenizer_config.json, README.md). A run that is cut off goes on from its last checkpoint in the scratch folder when the same
command is given again. On one device and one number of threads, the same text and recipe give the same weights.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F

import data
import export
import measure
from llama import Llama

HERE = Path(__file__).resolve().parent


def load_recipe(name):
    """A recipe with what it inherits from: entries of "like" fill what the recipe leaves out."""
    recipes = json.loads((HERE / "recipes.json").read_text())
    if name not in recipes:
        raise SystemExit(f"no recipe for {name!r}; there are: {', '.join(recipes)}")
    recipe = recipes[name]
    while "like" in recipe:
        parent = recipes[recipe["like"]]
        recipe = {**parent, **{k: v for k, v in recipe.items() if k != "like"}, **({"like": parent["like"]} if "like" in parent else {})}
    return recipe


def learning_rate(recipe, step):
    """Linear warm-up, a constant plateau, and a linear descent to `lr_floor` over the last `descent` of the steps."""
    warm = min(1.0, (step + 1) / recipe["warmup"])
    left = (recipe["steps"] - step) / max(1.0, recipe["descent"] * recipe["steps"])
    return recipe["lr"] * min(warm, max(recipe["lr_floor"], min(1.0, left)))


def start_mix(recipe, step):
    """The mix of window starts in force at a step: `phases` is a list of [first step, mix]."""
    return [mix for first, mix in recipe["phases"] if first <= step][-1]


def optimizer_of(model, recipe):
    groups = {}
    for name, p in model.named_parameters():
        decay = recipe["weight_decay"] if p.dim() == 2 else 0.0
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            decay = recipe.get("writer_decay", decay)
        if "embed" in name:
            decay = recipe.get("embed_decay", decay)
        groups.setdefault(decay, []).append(p)
    return torch.optim.AdamW(
        [{"params": ps, "weight_decay": decay} for decay, ps in groups.items()],
        lr=recipe["lr"], betas=(0.9, recipe["beta2"]), eps=recipe["adam_eps"], foreach=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--text", nargs="+", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--scratch", default=str(HERE / ".scratch"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0, help="stop after this long, checkpointed")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=JSON", help="change the recipe for a trial")
    parser.add_argument("--tag", default="", help="name of a trial's checkpoint")
    options = parser.parse_args()
    recipe = load_recipe(options.model)
    for change in options.set:
        key, value = change.split("=", 1)
        (recipe["shape"] if key in recipe["shape"] else recipe)[key] = json.loads(value)

    torch.set_num_threads(options.threads)
    torch.manual_seed(recipe["seed"])
    scratch = Path(options.scratch) / (options.tag or options.model)
    scratch.mkdir(parents=True, exist_ok=True)
    tokenizer, ids, tokenizer_file = data.prepare(options.text, options.scratch, recipe["shape"]["vocab"])
    bos = tokenizer.token_to_id(data.START)
    delimiters = {"dot": tokenizer.token_to_id("."), "newline": tokenizer.token_to_id("Ċ")}
    cuts = [tokenizer.token_to_id(t) for t in recipe["delimiters"]]
    shape = recipe["shape"]
    draw = data.Windows(ids, bos, cuts, recipe["batch"], recipe["window_tokens"], recipe["phases"][0][1], recipe["seed"])
    held = tokenizer.encode((HERE / "heldout.txt").read_text(encoding="utf-8"), add_special_tokens=False).ids
    held = measure.windows(held, bos, recipe["window_tokens"])

    model = Llama(shape).to(options.device)
    optimizer = optimizer_of(model, recipe)
    step, tokens = 0, 0
    checkpoint = scratch / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=False)
        if saved["recipe"]["shape"] != shape:
            raise SystemExit(f"{checkpoint} is of another shape; remove it to start anew")
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        draw.random.bit_generator.state = saved["random"]
        step = saved["step"]
        print(f"goes on from step {step}", flush=True)

    def save():
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "recipe": recipe,
                 "random": draw.random.bit_generator.state}
        torch.save(state, checkpoint.with_suffix(".part"))
        checkpoint.with_suffix(".part").replace(checkpoint)

    def look(loss, share, rate):
        states = []
        with torch.no_grad():
            logits = model(held.to(options.device), states)
        table = measure.norm_table([s.cpu() for s in states], held, bos, delimiters)
        half = len(held) // 2
        heldout = F.cross_entropy(logits[:half, :-1].flatten(0, 1).cpu(), held[:half, 1:].flatten()).item()
        print(f"{step} loss {loss:.3f} held-out {heldout:.3f} writes {share:.3f} {rate:.0f} tok/s | {measure.progress(table)}", flush=True)
        return heldout

    train = torch.compile(model, dynamic=False) if recipe.get("compile", True) else model
    snapshots = set(recipe.get("snapshots", []))
    began, mean, mean_share, since, seen = time.time(), 0.0, 0.0, time.time(), 0
    while step < recipe["steps"]:
        if step in snapshots and not (scratch / f"step-{step}.pt").exists():
            torch.save(model.state_dict(), scratch / f"step-{step}.pt")
        rows = torch.from_numpy(draw.draw(start_mix(recipe, step))).to(options.device)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        with torch.autocast(options.device.split(":")[0], torch.bfloat16):
            logits, share = train(rows[:, :-1], None, True)
            loss = F.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten())
        # The penalty makes a head that has nothing to say want to say nothing, which is what a sink is for.
        (loss + recipe["attention_penalty"] * share).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe["clip"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        seen += rows[:, 1:].numel()
        mean += loss.item()
        mean_share += share.item()
        if step % recipe["look"] == 0 or step == recipe["steps"]:
            n = recipe["look"] if step % recipe["look"] == 0 else step % recipe["look"]
            heldout = look(mean / n, mean_share / n, seen / (time.time() - since))
            mean, mean_share, since, seen = 0.0, 0.0, time.time(), 0
            save()
        if options.minutes and time.time() - began > 60 * options.minutes:
            save()
            break
    export.llama(model, shape, tokenizer_file, options.out)
    print(f"wrote {options.out}", flush=True)


if __name__ == "__main__":
    main()
