#!/usr/bin/env python3
"""Trains the unrelated models whose signatures are the empirical null of `compare`.

    zoo/unrelated.py --text FILES... --out DIR [--threads 1] [--only 0-47]

Each model has its own seed; families, widths, depths, texts, tokenizers and recipes are mixed by recipe_of() alone, so a model
is a function of its number and of the texts. Each is a minute's training on one core. DIR receives one Hugging Face folder a
model; those already there are left alone, so a run that is cut off goes on when the same command is given again.
`docs/lineage.md` says how the folders become the null that is shipped.
"""

import argparse
import random
import time
from pathlib import Path

import torch

import data
import export
import train

MODELS = 48
FAMILIES = ("llama", "llama", "gpt2", "llama", "gpt_neox")
WIDTHS = (64, 96, 64, 128, 64, 96, 64, 64, 128, 96)


def recipe_of(number, texts):
    """Everything that makes a model, from its number: a recipe as train.py's and the text it reads."""
    choose = random.Random(1000 + number)
    width = WIDTHS[number % len(WIDTHS)]
    recipe = train.load_recipe("llama-base")
    recipe["family"] = FAMILIES[number % len(FAMILIES)]
    recipe["seed"] = 1000 + number
    recipe["shape"].update(
        width=width, layers=choose.choice((3, 4, 5, 6)), heads=width // choose.choice((16, 32)),
        ffn=choose.choice((2, 3, 4)) * width, vocab=choose.choice((512, 1024, 1024, 2048)),
        embed_std=choose.choice((0.05, 0.1, 0.3)), writer_std=choose.choice((0.005, 0.02)))
    recipe["shape"]["kv_heads"] = recipe["shape"]["heads"]
    recipe.update(steps=choose.choice((200, 250, 300)), batch=32, warmup=40, lr=choose.choice((0.002, 0.003)), changes=[],
                  rest_penalty=choose.choice((0.0, 0.3, 0.6)), tie_delimiters=choose.choice((0.0, 0.3)))
    # Every other model reads as llama-base does: one tokenizer is where unrelated vocabularies' evidence is closest.
    if number % 2:
        recipe["tokenizer"] = "llama-base"
        recipe["shape"]["vocab"] = 1024
    return recipe, texts[choose.randrange(len(texts))]


def train_one(recipe, text, scratch, folder):
    torch.manual_seed(recipe["seed"])
    shape = recipe["shape"]
    given = train.HERE / recipe["tokenizer"] / "tokenizer.json" if "tokenizer" in recipe else None
    tokenizer, ids, tokenizer_file = data.prepare([text], scratch, shape["vocab"], given=given)
    cuts = [tokenizer.token_to_id(t) for t in recipe["delimiters"]]
    draw = data.Windows(ids, 0, cuts, recipe["batch"], recipe["window_tokens"], recipe["phases"][0][1], recipe["seed"],
                        newline=cuts[1])
    model = train.build(recipe)
    if recipe["tie_delimiters"]:
        train.tie_delimiters(model, recipe, cuts)
    optimizer = train.optimizer_of(model, recipe)
    for step in range(recipe["steps"]):
        rows = torch.from_numpy(draw.draw())
        for group in optimizer.param_groups:
            group["lr"] = train.learning_rate(recipe, step)
            group["weight_decay"] = train.weight_decay(recipe, group["kind"])
        loss, share = train.loss_of(recipe, model, rows, None, None)
        total = loss
        if recipe["rest_penalty"]:
            total = loss + recipe["rest_penalty"] * train.rest_penalty(recipe, rows, share, torch.tensor(cuts))
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe["clip"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    export.export(model, recipe, tokenizer_file, folder)
    return loss.item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", nargs="+", required=True, help="plain text files, one paragraph a line; each model reads one")
    parser.add_argument("--out", required=True)
    parser.add_argument("--scratch", default=str(train.HERE / ".scratch"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default=f"0-{MODELS - 1}", help="first and last number")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    first, last = map(int, options.only.split("-"))
    for number in range(first, last + 1):
        folder = Path(options.out) / f"unrelated-{number:02d}"
        if (folder / "tokenizer_config.json").exists():  # the last that is written
            continue
        began = time.time()
        recipe, text = recipe_of(number, sorted(options.text))
        loss = train_one(recipe, text, options.scratch, folder)
        shape = recipe["shape"]
        print(f"{folder.name} {recipe['family']} width {shape['width']} layers {shape['layers']} vocabulary {shape['vocab']} "
              f"{Path(text).name} {recipe['steps']} steps, loss {loss:.2f}, {time.time() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
