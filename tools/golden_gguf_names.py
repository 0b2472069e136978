#!/usr/bin/env python3
"""Writes src/model/testdata/gguf_names.json: what the gguf package's own tensor map calls the tensors of the
forward goldens, family by family.

    python tools/golden_gguf_names.py

For each golden of another family {"architecture", "names": {own name: gguf name}}, without ".weight", {} for the
layer in both and {e} for the expert (or a head's norm) in the own name. Names that the map has not are left out.
"""

import json
import pathlib
import re

import gguf

ROOT = pathlib.Path(__file__).resolve().parent.parent
# general.architecture of what transformers calls otherwise, or nothing.
ARCHITECTURES = {
    "llama": "llama", "mixtral": "llama", "qwen2": "qwen2", "qwen2_moe": "qwen2moe", "qwen3": "qwen3",
    "qwen3_moe": "qwen3moe", "phi": "phi2", "phi3": "phi3", "gptj": "gptj", "gpt_neox": "gptneox", "falcon": "falcon",
    "RefinedWeb": "falcon", "mpt": "mpt", "bloom": "bloom", "starcoder2": "starcoder2", "stablelm": "stablelm",
    "granite": "granite", "smollm3": "smollm3", "cohere": "command-r", "cohere2": "cohere2", "gemma": "gemma",
    "gemma2": "gemma2", "gemma3_text": "gemma3", "olmo": "olmo", "olmo2": "olmo2", "exaone4": "exaone4",
    "glm4": "glm4", "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2", "gpt_oss": "gpt-oss", "bert": "bert",
    "roberta": "bert", "distilbert": "bert", "gpt2": "gpt2",
}
# Named as another golden of the list, or what llama.cpp does not compute.
SAME = {"llama", "llama_yarn", "llama_bidirectional", "mixtral_packed", "falcon_refined_web", "falcon_rw", "gptj"}


def names_of(golden, architecture):
    by_value = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}
    blocks = 8
    table = gguf.get_tensor_name_map(by_value[architecture], blocks)
    names = {}
    for tensor in golden["tensors"]:
        own = tensor["name"]
        layer = re.search(r"\.(\d+)\.", own)
        if layer and layer[1] not in ("0", "1"):
            continue
        pattern = re.sub(r"\.experts\.\d+\.", ".experts.{e}.", re.sub(r"\.\d+\.", ".{}.", own, count=1))
        pattern = re.sub(r"norms\.\d+", "norms.{e}", pattern)
        asked = re.sub(r"norms\.\d+\.", "norms.", re.sub(r"\.experts\.\d+\.", ".experts.", own))
        asked = re.sub(r"^(bert|roberta|distilbert|transformer)\.(?=embeddings|encoder|transformer|h\.|word_emb|ln_f)", "",
                       asked) if architecture in ("bert", "bloom") else asked
        found = table.get_name(asked, try_suffixes=(".weight", ".bias"))
        if found and found.endswith(".weight"):
            names[pattern.removesuffix(".weight")] = re.sub(r"^blk\.\d+\.", "blk.{}.", found.removesuffix(".weight"))
        elif found and not own.endswith((".weight", ".bias")):
            names[pattern] = re.sub(r"^blk\.\d+\.", "blk.{}.", found)
    return names


def main():
    goldens = {}
    for path in sorted((ROOT / "src/forward/testdata").glob("*.json")):
        golden = json.loads(path.read_text())
        architecture = ARCHITECTURES.get(golden["config"]["model_type"])
        if architecture and path.stem not in SAME:
            goldens[path.stem] = dict(architecture=architecture, names=names_of(golden, architecture))
    lines = [f' "{name}": {json.dumps(value)}' for name, value in goldens.items()]
    (ROOT / "src/model/testdata/gguf_names.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
