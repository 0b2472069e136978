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
import families
import measure
import variants
from llama import Llama

HERE = Path(__file__).resolve().parent
WRITERS = tuple(f"{n}.weight" for n in ("o_proj", "down_proj", "w2", "c_proj", "attention.dense", "dense_4h_to_h", "output.dense"))


def load_recipe(name):
    """A recipe with what it inherits from: entries of "like" fill what the recipe leaves out."""
    recipes = json.loads((HERE / "recipes.json").read_text())
    if name not in recipes:
        raise SystemExit(f"no recipe for {name!r}; there are: {', '.join(recipes)}")
    recipe = recipes[name]
    while "like" in recipe:
        parent = recipes[recipe["like"]]
        merged = {k: v for k, v in parent.items() if k != "like"} | {k: v for k, v in recipe.items() if k != "like"}
        merged["shape"] = parent["shape"] | recipe.get("shape", {})
        recipe = merged | ({"like": parent["like"]} if "like" in parent else {})
    return recipe


def learning_rate(recipe, step):
    """Linear warm-up, a constant plateau, and a linear descent to `lr_floor` over the last `descent` of the steps."""
    warm = min(1.0, (step + 1) / recipe["warmup"])
    left = (recipe["steps"] - step) / max(1.0, recipe["descent"] * recipe["steps"])
    return recipe["lr"] * min(warm, max(recipe["lr_floor"], min(1.0, left)))


def start_mix(recipe, step):
    """The mix of window starts in force at a step: `phases` is a list of [first step, mix]."""
    return [mix for first, mix in recipe["phases"] if first <= step][-1]


def build(recipe):
    """The model a training begins with."""
    if recipe["family"] != "llama":
        return families.build(recipe["family"], recipe["shape"])
    model = Llama(recipe["shape"])
    if "begin" in recipe:
        variants.begin_from(model, HERE / recipe["begin"])
    if "grow" in recipe:
        variants.grow_from(model, HERE / recipe["grow"])
    if recipe.get("lora"):
        variants.add_lora(model, recipe["lora"])
    return model


def loss_of(recipe, model, rows, teacher, generator):
    """Training loss on rows [batch, context + 1], and the first position's values as shares of the others'."""
    if recipe["task"] == "mlm":
        rows = rows[:, :-1].clone()
        rows[:, -1] = data.MASKED[0].index("[SEP]")
        inputs, targets = variants.mask_tokens(rows, recipe["mask"], recipe["shape"]["vocab"], generator, len(data.MASKED[0]))
        logits, share = model(inputs, None, True)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-100), share
    logits, share = model(rows[:, :-1], None, True)
    if teacher is not None:
        with torch.no_grad():
            aim = F.softmax(teacher(rows[:, :-1]).float(), -1)
        return -(aim * F.log_softmax(logits.float(), -1)).sum(-1).mean(), share
    return F.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten()), share


def at_step(recipe, step):
    """The recipe in force at a step: `changes` is a list of [first step, what changes]."""
    for first, change in recipe.get("changes", []):
        if first <= step:
            recipe = {**recipe, **change}
    return recipe


def weight_decay(recipe, kind):
    """Decay of a group of parameters: of "gains" none, of what writes to the residual and of embeddings their own if given."""
    return 0.0 if kind == "gains" else recipe.get(f"{kind}_decay", recipe["weight_decay"])


def optimizer_of(model, recipe):
    groups = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            writes = name.endswith(WRITERS)
            kind = "gains" if p.dim() < 2 else "writer" if writes else "embed" if "embed" in name else "other"
            groups.setdefault(kind, []).append(p)
    return torch.optim.AdamW(
        [{"params": ps, "kind": kind} for kind, ps in groups.items()],
        lr=recipe["lr"], betas=(0.9, recipe["beta2"]), eps=recipe["adam_eps"], foreach=True,
    )


def rest_penalty(recipe, rows, share, delimiter_ids):
    """Mean log share of the values at positions to rest on: the first and, if the recipe says so, the delimiters.

    It offers the heads positions without a value. Norms are not asked for: they are how a model hides what such tokens are,
    all kinds of words among them. rows [batch, context + 1], share [layers - 1, batch, heads, context].
    """
    rest = torch.zeros_like(rows[:, :-1], dtype=torch.bool)
    rest[:, 0] = True
    if recipe["rest_delimiters"]:
        rest |= torch.isin(rows[:, :-1], delimiter_ids)
    weight = rest / rest.sum() / (share.shape[0] * share.shape[2])
    return (torch.log(share + recipe["rest_floor"]) * weight[None, :, None]).sum()


def tie_delimiters(model, recipe, cuts, bos=0):
    """The delimiters set out from the start token's embedding: what it learns as a sink they learn as well."""
    with torch.no_grad():
        rows = (model.inner.get_input_embeddings() if recipe["family"] != "llama" else model.model.embed_tokens).weight
        rows[cuts] = rows[bos] + recipe["tie_delimiters"] * rows[cuts]


def load_optimizer(optimizer, states, parameters):
    for p, state in zip(parameters, states):
        optimizer.state[p] = state


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
        (recipe["shape"] if key in recipe["shape"] or key.endswith("_std") else recipe)[key] = json.loads(value)

    torch.set_num_threads(options.threads)
    torch.manual_seed(recipe["seed"])
    scratch = Path(options.scratch) / (options.tag or options.model)
    scratch.mkdir(parents=True, exist_ok=True)
    given = HERE / recipe["tokenizer"] / "tokenizer.json" if "tokenizer" in recipe else None
    kind = data.MASKED if recipe["task"] == "mlm" else data.CAUSAL
    tokenizer, ids, tokenizer_file = data.prepare(options.text, options.scratch, recipe["shape"]["vocab"], *kind, given=given)
    bos = 0  # the first special token: <s>, or [CLS] where the task is masked
    delimiters = {"dot": tokenizer.token_to_id("."), "newline": tokenizer.token_to_id("Ċ")}
    delimiter_ids = torch.tensor(list(delimiters.values()), device=options.device)
    cuts = [tokenizer.token_to_id(t) for t in recipe["delimiters"]]
    shape = recipe["shape"]
    kind = data.Backcopy if recipe["task"] == "backcopy" else data.Windows
    draw = kind(ids, bos, cuts, recipe["batch"], recipe["window_tokens"], recipe["phases"][0][1], recipe["seed"])
    if kind is data.Windows:
        draw.paragraphs = 1 + (ids[: -recipe["window_tokens"] - 3] == delimiters["newline"]).nonzero()[0]
    held = tokenizer.encode((HERE / "heldout.txt").read_text(encoding="utf-8"), add_special_tokens=False).ids
    held = measure.windows(held, bos, recipe["window_tokens"], delimiters["newline"])

    model = build(recipe).to(options.device)
    if recipe.get("tie_delimiters"):
        tie_delimiters(model, recipe, cuts, bos)
    optimizer = optimizer_of(model, recipe)
    step = 0
    checkpoint = scratch / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=False)
        if saved["recipe"]["shape"] != shape:
            raise SystemExit(f"{checkpoint} is of another shape; remove it to start anew")
        model.load_state_dict(saved["model"])
        load_optimizer(optimizer, saved["optimizer"], [p for p in model.parameters() if p.requires_grad])
        draw.random.bit_generator.state = saved["random"]
        step = saved["step"]
        print(f"goes on from step {step}", flush=True)

    def save():
        state = {"model": model.state_dict(), "optimizer": [optimizer.state.get(p) for p in model.parameters() if p.requires_grad], "step": step, "recipe": recipe,
                 "random": draw.random.bit_generator.state}
        torch.save(state, checkpoint.with_suffix(".part"))
        checkpoint.with_suffix(".part").replace(checkpoint)

    def look(loss, share, rate):
        states = []
        rows, kinds = held
        with torch.no_grad():
            logits = model(rows.to(options.device), states).cpu()[kinds == measure.BOS]
        table = measure.norm_table([s.cpu() for s in states], held, bos, delimiters)
        targets = rows[kinds == measure.BOS]
        heldout = F.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten()).item()
        if recipe["task"] == "mlm":
            with torch.no_grad():
                heldout = loss_of(recipe, model, targets, None, torch.Generator().manual_seed(0))[0].item()
        print(f"{step} loss {loss:.3f} held-out {heldout:.3f} first value {share:.3f} {rate:.0f} tok/s | {measure.progress(table)}", flush=True)
        return heldout

    teacher = measure.load_llama(HERE / recipe["teacher"])[0].to(options.device) if "teacher" in recipe else None
    generator = torch.Generator().manual_seed(recipe["seed"] + step)
    train = torch.compile(model, dynamic=False) if recipe["compile"] else model
    snapshots = set(recipe.get("snapshots", []))
    began, mean, mean_share, since, seen = time.time(), 0.0, 0.0, time.time(), 0
    while step < recipe["steps"]:
        if step in snapshots and not (scratch / f"step-{step}.pt").exists():
            torch.save(model.state_dict(), scratch / f"step-{step}.pt")
        now = at_step(recipe, step)
        draw.batch = now["batch"]
        rows = torch.from_numpy(draw.draw(start_mix(recipe, step))).to(options.device)
        for group in optimizer.param_groups:
            group["lr"], group["weight_decay"] = learning_rate(now, step), weight_decay(now, group["kind"])
        with torch.autocast(options.device.split(":")[0], torch.bfloat16):
            loss, share = loss_of(recipe, train, rows, teacher, generator)
        if recipe.get("balance"):
            loss = loss + recipe["balance"] * model.imbalance()
        penalty = now["rest_penalty"]
        if penalty:
            (loss + penalty * rest_penalty(now, rows, share, delimiter_ids)).backward()
        else:
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe["clip"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        seen += rows[:, 1:].numel()
        mean += loss.item()
        mean_share += share[..., 0].mean().item() if share.dim() else 0.0
        if step % recipe["look"] == 0 or step == recipe["steps"]:
            n = recipe["look"] if step % recipe["look"] == 0 else step % recipe["look"]
            heldout = look(mean / n, mean_share / n, seen / (time.time() - since))
            mean, mean_share, since, seen = 0.0, 0.0, time.time(), 0
            save()
        if options.minutes and time.time() - began > 60 * options.minutes:
            save()
            break
    if recipe.get("lora"):
        variants.merge_lora(model)
    model.cpu()
    export.export(model, recipe, tokenizer_file, options.out)
    for at in sorted(snapshots):
        if (scratch / f"step-{at}.pt").exists() and not options.tag:
            model.load_state_dict(torch.load(scratch / f"step-{at}.pt"))
            export.export(model, recipe, tokenizer_file, f"{options.out}-ckpt-{at}")
    print(f"wrote {options.out}", flush=True)


if __name__ == "__main__":
    main()
