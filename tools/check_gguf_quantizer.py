#!/usr/bin/env python3
"""Holds our GGUF formats and our llama.cpp recipe to llama-quantize itself.

    python tools/check_gguf_quantizer.py PROGRAM LLAMA_CPP LLAMA_QUANTIZE

LLAMA_CPP as in check_gguf_converter.py, LLAMA_QUANTIZE the program built from it (cmake, target llama-quantize). A
random llama of 12 layers is converted in F16, then:

  recipe   `recipe --for llama.cpp --skip 2,11` is given to llama-quantize, which must leave exactly two matrices alone
  formats  quantized to each format, and that taken back to F32 by llama-quantize: our losses of a text must be the same
           numbers for both files, and the gguf package must dequantize to the same values
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers

from check_gguf_converter import ROOT, Converter, give_tokenizer

FORMATS = ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M", "Q6_K", "IQ4_NL", "IQ4_XS")
SIZES = {"hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 12, "num_attention_heads": 4,
         "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False}
WANTED = {"blk.1.ffn_down.weight", "blk.10.ffn_down.weight"}


def output_of(*command):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


def tensors_of(path):
    import gguf
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


def losses(program, model, work):
    text = work / "text.txt"
    text.write_text((ROOT / "zoo/heldout.txt").read_text()[:1500])
    told = output_of(program, "perplexity", model, "--text", text, "--compute", "f32", "--json", "--out",
                     work / f"{model.stem}-perplexity")
    return [window["loss"] for window in json.loads(told)["windows"]]


def main():
    torch.set_num_threads(1)
    program, tree, quantize = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
    converter, failed = Converter(tree), 0
    import gguf
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        source, whole = work / "model", work / "f16.gguf"
        source.mkdir()
        torch.manual_seed(1)
        config = transformers.LlamaConfig(**SIZES)
        give_tokenizer("llama", config, source)
        transformers.AutoModelForCausalLM.from_config(config).half().save_pretrained(source)
        assert converter.convert(source, whole) is None

        output_of(program, "recipe", source, "--for", "llama.cpp", "--skip", "2,11", "--out", work / "types.txt")
        output_of(quantize, "--tensor-type-file", work / "types.txt", whole, work / "recipe.gguf", "Q8_0", 1)
        alone = {name for name, tensor in tensors_of(work / "recipe.gguf").items() if tensor.tensor_type.name == "F16"}
        print(f"recipe   left alone: {', '.join(sorted(alone))}: {'as wanted' if alone == WANTED else 'NOT AS WANTED'}")
        failed += alone != WANTED

        for kind in FORMATS:
            packed, flat = work / f"{kind}.gguf", work / f"{kind}-f32.gguf"
            output_of(quantize, "--pure", whole, packed, kind, 1)
            output_of(quantize, "--allow-requantize", packed, flat, "F32", 1)
            a, b = tensors_of(packed), tensors_of(flat)
            largest = max(float(np.abs(gguf.dequantize(t.data, t.tensor_type).ravel() -
                                       b[name].data.view(np.float32).ravel()).max()) for name, t in a.items())
            same = losses(program, packed, work) == losses(program, flat, work)
            count = sum(tensor.tensor_type.name == kind.removesuffix("_M") for tensor in a.values())
            print(f"{kind:8} {count} tensors: losses {'the same' if same else 'DIFFER'}, the gguf package's values within "
                  f"{largest:.0e}", flush=True)
            failed += not same or largest > 0 or count == 0
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
