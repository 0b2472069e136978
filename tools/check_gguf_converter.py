#!/usr/bin/env python3
"""Holds what this program reads from .gguf files to llama.cpp's own converter.

    python tools/check_gguf_converter.py PROGRAM LLAMA_CPP [NAME...]

LLAMA_CPP is a checkout, or vendor/llama.cpp of the source archive of llama-cpp-python 0.3.36 on PyPI, with which
docs/gguf.md was written. Needs requirements.txt and protobuf, with the gguf package of that tree, not PyPI's.

Makes a small random model in f16 of every golden of golden_forward.py and golden_mixtures.py, and takes three of the
zoo; runs convert_hf_to_gguf.py on each; then lets the program read both, the folder and the file, and compares:

  config      sizes of `inspect --json`; nothing unknown, missing or of another shape
  tensors     names and shapes of `inspect --json`
  tokens      ids and texts of `norms --json` on four texts
  norms       every state's norm, before and after attention and FFN, of these texts (encoders as well)
  loss        every window's loss of a text ten and more sliding windows long
  directions  all tensors of scan's directions.safetensors, by their bytes, or the largest difference

The converter knows pre-tokenizers by a hash of what a published tokenizer makes of one text; ours are not among them,
so it is told that they are GPT-2's, which they are. Families it refuses are listed with its own words; the goldens hold
settings that the format does not carry, and such rows differ: docs/gguf.md says which.
"""

import contextlib
import io
import json
import logging
import pathlib
import shutil
import subprocess
import sys
import tempfile
import traceback

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOKENIZERS = ROOT / "src/tokenizer/testdata"
ZOO = ("llama-base", "gpt2-mini", "neox-mini")
SENTENCEPIECE = ("llama_linear", "mistral", "phi3", "phi3_longrope", "gemma", "gemma2", "gemma3", "mixtral")
ENCODERS = ("bert", "roberta", "distilbert")
TEXTS = ("The quick brown fox jumps over the lazy dog.", "Zwölf Boxkämpfer, 12345 of them\n\n  and  spaces\t.",
         "it's not what they'd said 🙂", "x")


def models():
    """Golden's name -> a function that makes the model, filled as the golden's."""
    import golden_forward
    import golden_mixtures
    for name, config in [*golden_forward.configs(), *golden_forward.more_configs()]:
        alibi = getattr(config, "alibi", False)
        yield name, config, lambda config=config, alibi=alibi: golden_forward.filled(config, "sdpa" if alibi else "eager")
    for name, config in golden_mixtures.configs():
        if not name.endswith("_packed"):
            yield name, config, lambda name=name, config=config: golden_mixtures.filled_mixture(name, config)[0]


def give_tokenizer(name, config, folder):
    """Copies one of the tests' tokenizers; the model's vocabulary becomes as large."""
    if name in SENTENCEPIECE:
        shutil.copy(TOKENIZERS / "spm/tokenizer.model", folder)
        from sentencepiece import sentencepiece_model_pb2
        model = sentencepiece_model_pb2.ModelProto()
        model.ParseFromString((folder / "tokenizer.model").read_bytes())
        model.normalizer_spec.add_dummy_prefix = not name.startswith("gemma")  # as Gemma's
        (folder / "tokenizer.model").write_bytes(model.SerializeToString())
        size = len(model.pieces)
        (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    else:
        source = TOKENIZERS / ("wordpiece" if name in ("bert", "distilbert") else "byte_bpe")
        shutil.copy(source / "tokenizer.json", folder)
        settings = json.loads((source / "tokenizer_config.json").read_text())
        settings["tokenizer_class"] = "BertTokenizer" if source.name == "wordpiece" else "PreTrainedTokenizerFast"
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        written = json.loads((source / "tokenizer.json").read_text())
        vocabulary = written["model"]["vocab"] | {token["content"]: token["id"] for token in written["added_tokens"]}
        size = max(vocabulary.values()) + 1
        if source.name == "wordpiece":
            ordered = sorted(vocabulary, key=vocabulary.get)
            (folder / "vocab.txt").write_text("\n".join(ordered) + "\n")
    config.vocab_size = size


def say_as_published(folder):
    """The converter asks for keys that config.json files of these families had and transformers 5 no longer writes."""
    config = json.loads((folder / "config.json").read_text())
    kind = config["model_type"]
    if kind == "gpt2":
        config["n_ctx"] = config["n_positions"]
    if kind == "gpt_neox":
        config["rotary_pct"] = config["rope_parameters"]["partial_rotary_factor"]
    (folder / "config.json").write_text(json.dumps(config))


class Converter:
    """convert_hf_to_gguf.py, run within this process."""

    def __init__(self, tree):
        sys.path.insert(0, str(tree))
        import convert_hf_to_gguf
        from conversion import base
        base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-2"
        self.program = convert_hf_to_gguf

    def convert(self, folder, out, kind="f16"):
        """The reason where the converter refuses."""
        told = io.StringIO()
        handler = logging.StreamHandler(told)
        logging.getLogger().addHandler(handler)
        sys.argv = ["convert_hf_to_gguf.py", str(folder), "--outtype", kind, "--outfile", str(out)]
        try:
            with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
                self.program.main()
        except (Exception, SystemExit) as error:
            lines = [line for line in told.getvalue().splitlines() if "not supported" in line]
            where = traceback.extract_tb(error.__traceback__)[-1]
            return lines[-1].removeprefix("ERROR:hf-to-gguf:") if lines else f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
        finally:
            logging.getLogger().removeHandler(handler)
        return None


class Program:
    def __init__(self, path, work):
        self.path, self.work, self.calls = path, work, 0
        self.text = work / "text.txt"
        self.text.write_text((ROOT / "zoo/heldout.txt").read_text()[:2500])

    def run(self, command, model, *arguments):
        """The command's JSON and its folder."""
        self.calls += 1
        out = self.work / f"{command}-{self.calls}"
        told = ["--out", str(out)] if command != "inspect" else []
        done = subprocess.run([self.path, command, str(model), *arguments, *told, "--json"], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stderr.strip()}")
        return json.loads(done.stdout), out


SIZES = ("layers", "hidden_size", "heads", "kv_heads", "head_dim", "ffn_size", "vocab_size", "max_positions",
         "tied_embeddings", "family", "usable", "unknown", "missing", "mismatched")
# No state of the model, or the same under another name.
PLACES = {"file", "bytes", "seconds", "name", "path", "model", "fingerprint"}


def numbers_of(value, place=""):
    """Every number and text of a JSON value by its place."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key not in PLACES:
                yield from numbers_of(part, f"{place}.{key}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from numbers_of(part, f"{place}[{index}]")
    else:
        yield place, value


def difference(one, other, what):
    """Largest |a - b| / max(|a|, |b|) of two JSON values; everything else must be equal."""
    a, b = dict(numbers_of(one)), dict(numbers_of(other))
    if a.keys() != b.keys():
        raise RuntimeError(f"{what}: not the same places: {sorted(a.keys() ^ b.keys())[:4]}")
    largest = 0.0
    for place, value in a.items():
        if isinstance(value, float) and isinstance(b[place], float):
            largest = max(largest, abs(value - b[place]) / max(abs(value), abs(b[place]), 1e-30))
        elif value != b[place]:
            raise RuntimeError(f"{what}{place}: {value!r} in the folder, {b[place]!r} in the .gguf")
    return largest


def compare(program, folder, gguf, encoder):
    """What was found, in words; raises where config, tensors or tokens differ."""
    ours, theirs = (program.run("inspect", model)[0] for model in (folder, gguf))
    for key in SIZES:
        if ours[key] != theirs[key]:
            raise RuntimeError(f"{key}: {ours[key]!r} in the folder, {theirs[key]!r} in the .gguf")
    norms = 0.0
    for text in TEXTS:
        a, b = (program.run("norms", model, "--prompt", text)[0] for model in (folder, gguf))
        norms = max(norms, difference(a, b, "norms"))
    loss = None
    if not encoder:
        a, b = (program.run("perplexity", model, "--text", str(program.text), "--window", str(min(64, ours["max_positions"])), "--force")[0]["windows"]
                for model in (folder, gguf))
        loss = difference(a, b, "perplexity")
    a, b = (program.run("scan", model, "--text", str(program.text), "--rows", "20", "--seed", "3")[1] / "directions.safetensors"
            for model in (folder, gguf))
    if a.read_bytes() == b.read_bytes():
        directions = "the same bytes"
    else:
        a, b = load_file(a), load_file(b)
        if a.keys() != b.keys():
            raise RuntimeError(f"directions: {sorted(a.keys() ^ b.keys())[:4]}")
        worst = max(a, key=lambda key: float(np.abs(a[key] - b[key]).max()))
        directions = f"{np.abs(a[worst] - b[worst]).max():.0e} ({worst})"
    return norms, loss, directions


def row(name, told):
    print(f"{name:20} {told}", flush=True)


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    program_path, tree = str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2]).resolve()
    wanted, failed = set(sys.argv[3:]), 0
    converter = Converter(tree)

    def check(name, folder, work, kind, encoder=False):
        gguf = work / "model.gguf"
        refused = converter.convert(folder, gguf, kind)
        if refused:
            row(name, f"no GGUF: {refused}")
            return 0
        try:
            norms, loss, directions = compare(Program(program_path, work), folder, gguf, encoder)
        except RuntimeError as error:
            row(name, f"DIFFERS: {error}")
            return 1
        row(name, f"norms {norms:.0e}, " + ("" if loss is None else f"loss {loss:.0e}, ") + f"directions {directions}")
        return 0

    for name in ZOO:
        if not wanted or name in wanted:
            with tempfile.TemporaryDirectory() as work:
                folder = pathlib.Path(shutil.copytree(ROOT / "zoo" / name, pathlib.Path(work) / "model"))
                say_as_published(folder)
                failed += check(name, folder, pathlib.Path(work), "bf16")
    for name, config, make in models():
        if wanted and name not in wanted:
            continue
        with tempfile.TemporaryDirectory() as work:
            folder = pathlib.Path(work) / "model"
            folder.mkdir()
            give_tokenizer(name, config, folder)
            make().half().save_pretrained(folder)
            say_as_published(folder)
            failed += check(name, folder, pathlib.Path(work), "f16", name in ENCODERS)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
