"""Text in, token arrays and training windows out.

The corpus is tokenised once into a uint16 array kept in the scratch folder; training windows are cut from it by a seeded
generator, so a run is a function of its recipe and its text.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

START = "<s>"
# Special tokens (the one that begins a text first) and the template by which encode() adds them.
CAUSAL = ((START,), f"{START} $A")
MASKED = (("[CLS]", "[MASK]", "[SEP]"), "[CLS] $A [SEP]")


def read_text(paths):
    """Concatenates the given files; a folder stands for its *.txt files in name order."""
    files = []
    for path in map(Path, paths):
        files += sorted(path.glob("**/*.txt")) if path.is_dir() else [path]
    if not files:
        raise SystemExit(f"no text found under {list(map(str, paths))}")
    return "\n".join(f.read_text(encoding="utf-8", errors="replace").strip("\n") for f in files) + "\n"


def build_tokenizer(text, entries, specials=(START,), template=f"{START} $A"):
    """Byte-level BPE, so that any text encodes; the specials come first, `template` is what encode() adds."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=entries,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
    ids = [(s, tokenizer.token_to_id(s)) for s in specials]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=ids)
    return tokenizer


def tokenizer_config(specials, add_bos, context):
    config = {
        "add_bos_token": add_bos,
        "add_eos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    config.update(specials)
    return config


def prepare(paths, scratch, entries, specials=(START,), template=f"{START} $A", given=None):
    """Tokenizer and token array of a corpus, cached under a hash of everything they depend on.

    `given`, a tokenizer.json, is used in place of training one: a model that descends from another reads as it does.
    """
    text = read_text(paths)
    key = json.dumps([entries, specials, template]) if given is None else Path(given).read_text(encoding="utf-8")
    key = hashlib.sha256(key.encode() + text.encode()).hexdigest()[:16]
    folder = Path(scratch) / f"corpus-{key}"
    if not (folder / "ids.npy").exists():
        folder.mkdir(parents=True, exist_ok=True)
        # A third of a large corpus gives the same merges in a third of the time.
        lines = text.splitlines(keepends=True)
        sample = lines if len(text) < 6_000_000 else lines[:: max(1, len(text) // 6_000_000)]
        made = Tokenizer.from_file(str(given)) if given else build_tokenizer("".join(sample), entries, specials, template)
        made.save(str(folder / "tokenizer.json"))
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        ids = []
        for i in range(0, len(lines), 2000):
            encoded = tokenizer.encode_batch(lines[i : i + 2000], add_special_tokens=False)
            ids += [np.asarray(e.ids, np.uint16) for e in encoded]
        np.save(folder / "ids.npy", np.concatenate(ids))
    return Tokenizer.from_file(str(folder / "tokenizer.json")), np.load(folder / "ids.npy"), folder / "tokenizer.json"


class Windows:
    """Draws batches [batch, context + 1] of token ids.

    `start` mixes the ways a window may begin: "bos" puts the start token before a random cut, "delimiter" cuts where a
    delimiter stands, so that it becomes the first token, "paragraph" cuts after a newline, "word" cuts anywhere.
    """

    def __init__(self, ids, bos, delimiters, batch, context, start, seed, newline=None):
        self.ids, self.bos, self.batch, self.context, self.start = ids, bos, batch, context, start
        self.cuts = np.flatnonzero(np.isin(ids[: -context - 2], delimiters)) if delimiters else None
        self.paragraphs = 1 + np.flatnonzero(ids[: -context - 3] == newline) if newline is not None else None
        self.random = np.random.default_rng(seed)

    def draw(self, start=None):
        start = start or self.start
        kinds = self.random.choice(list(start), size=self.batch, p=np.array(list(start.values())) / sum(start.values()))
        begin = self.random.integers(0, len(self.ids) - self.context - 2, self.batch)
        if self.cuts is not None and len(self.cuts):
            begin = np.where(kinds == "delimiter", self.cuts[self.random.integers(0, len(self.cuts), self.batch)], begin)
        if self.paragraphs is not None and len(self.paragraphs):
            chosen = self.paragraphs[self.random.integers(0, len(self.paragraphs), self.batch)]
            begin = np.where(np.isin(kinds, ["paragraph", "bos-paragraph"]), chosen, begin)
        out = self.ids[begin[:, None] + np.arange(self.context + 1)].astype(np.int64)
        bos = np.isin(kinds, ["bos", "bos-paragraph"])
        out[bos, 1:] = out[bos, :-1]
        out[bos, 0] = self.bos
        return out


class Backcopy:
    """Windows of the Bigram-Backcopy task (arXiv 2410.13835) over a corpus's own vocabulary.

    A token follows its predecessor as in the corpus's bigrams, except after a trigger token, where the token before the
    trigger comes again. Attention is of use after triggers alone; everywhere else a head has to do nothing.
    """

    def __init__(self, ids, bos, triggers, batch, context, start, seed):
        size = int(ids.max()) + 1
        counts = np.bincount(ids[:-1].astype(np.int64) * size + ids[1:], minlength=size * size).reshape(size, size)
        rows = counts + 1e-9
        rows[:, bos] = 0
        self.cumulative = np.cumsum(rows / rows.sum(1, keepdims=True), 1, dtype=np.float64)
        self.first = np.cumsum(np.bincount(ids, minlength=size) / len(ids))
        self.is_trigger = np.isin(np.arange(size), triggers)
        self.bos, self.batch, self.context, self.start = bos, batch, context, start
        self.random = np.random.default_rng(seed)

    def draw(self, start=None):
        start = start or self.start
        kinds = self.random.choice(list(start), size=self.batch, p=np.array(list(start.values())) / sum(start.values()))
        out = np.zeros((self.batch, self.context + 2), np.int64)
        out[:, 0] = np.minimum(np.searchsorted(self.first, self.random.random(self.batch)), len(self.first) - 1)
        for t in range(1, self.context + 2):
            u = self.random.random(self.batch)[:, None]
            following = np.minimum((self.cumulative[out[:, t - 1]] < u).sum(1), len(self.first) - 1)
            copy = self.is_trigger[out[:, t - 1]] & (t > 1)
            out[:, t] = np.where(copy, out[:, max(t - 2, 0)], following)
        bos = kinds == "bos"
        out[bos, 1:] = out[bos, :-1]
        out[bos, 0] = self.bos
        return out[:, :-1]
