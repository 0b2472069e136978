#!/usr/bin/env python3
"""Loads each recipe that the program writes with the tool it is for, and says what that tool leaves alone.

    python tools/check_recipes.py PROGRAM GPTQMODEL_SOURCE AUTOAWQ_SOURCE [mixtures]

With `mixtures`: mixtures of experts, by the tools that take their packed experts apart.
Needs requirements.txt and requirements-recipes.txt (see golden_recipes.py). Small random models of five families with
12 layers, --skip 2,11. Fails where a tool leaves other modules alone than the recipe is to name. docs/recipes.md keeps
the output. Of TensorRT-LLM and llama.cpp there is no package that runs without a GPU or a compiler.
"""

import contextlib
import importlib
import importlib.metadata
import io
import json
import pathlib
import runpy
import subprocess
import sys
import tempfile
import types

import torch
import transformers

from golden_recipes import stub_packages

LAYERS, SKIP = 12, (2, 11)
SIZES = {"hidden_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "vocab_size": 64,
         "max_position_embeddings": 32, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
         "tie_word_embeddings": False}
MODELS = {
    "llama": (transformers.LlamaConfig(intermediate_size=64, **SIZES), "model.layers.{}.mlp.down_proj"),
    "phi3": (transformers.Phi3Config(intermediate_size=64, **SIZES), "model.layers.{}.mlp.down_proj"),
    "gpt_neox": (transformers.GPTNeoXConfig(intermediate_size=64, **SIZES), "gpt_neox.layers.{}.mlp.dense_4h_to_h"),
    "falcon": (transformers.FalconConfig(**SIZES), "transformer.h.{}.mlp.dense_4h_to_h"),
    "gpt2": (transformers.GPT2Config(n_embd=32, n_layer=LAYERS, n_head=2, vocab_size=64, n_positions=32,
                                     bos_token_id=0, eos_token_id=0), "transformer.h.{}.mlp.c_proj"),
}
EXPERTS, HEADS = 4, {"num_key_value_heads": 2}
MIXTURES = {
    "mixtral": (transformers.MixtralConfig(intermediate_size=64, num_local_experts=EXPERTS, dtype=torch.float32,
                                           **SIZES, **HEADS),
                "model.layers.{}.mlp.experts.{}.down_proj", []),
    "qwen2_moe": (transformers.Qwen2MoeConfig(moe_intermediate_size=64, shared_expert_intermediate_size=64,
                                              num_experts=EXPERTS, dtype=torch.float32, **SIZES, **HEADS),
                  "model.layers.{}.mlp.experts.{}.down_proj",
                  ["model.layers.{}.mlp.shared_expert.down_proj"]),
}
MATRICES = (torch.nn.Linear, transformers.pytorch_utils.Conv1D)


def made(family):
    return transformers.AutoModelForCausalLM.from_config(MODELS[family][0])


def matrices(model):
    """Names of the linear layers, in the model's order, as they were before it was quantized."""
    return model.recipe_matrices


def untouched(model, is_quantized):
    return [name for name in matrices(model) if not is_quantized(model.get_submodule(name))]


def compressed(model, config):
    from compressed_tensors.quantization import apply_quantization_config
    apply_quantization_config(model, config)
    return untouched(model, lambda module: hasattr(module, "quantization_scheme"))


def llm_compressor(path, model):
    from llmcompressor.recipe import Recipe
    modifier = Recipe.create_instance(str(path)).modifiers[0]
    return compressed(model, modifier.resolve_quantization_config())


def compressed_tensors(path, model):
    from compressed_tensors.quantization import QuantizationConfig
    return compressed(model, QuantizationConfig.model_validate(json.loads(path.read_text())))


def bitsandbytes(path, model):
    import bitsandbytes as bnb
    from transformers.integrations import replace_with_bnb_linear
    config = transformers.BitsAndBytesConfig(**json.loads(path.read_text()))
    replace_with_bnb_linear(model, config.llm_int8_skip_modules, config)
    return untouched(model, lambda module: isinstance(module, bnb.nn.Linear8bitLt))


def gptqmodel(path, model):
    config = importlib.import_module("gptqmodel.quantization.config")
    chosen = config.QuantizeConfig(**json.loads(path.read_text()))
    return [name for name in matrices(model) if chosen.dynamic_get(name) is False]


def autoawq(path, model):
    recipe = runpy.run_path(str(path))
    quantizer = recipe["SkippingQuantizer"].__new__(recipe["SkippingQuantizer"])
    quantizer.model, quantizer.w_bit, quantizer.group_size = model, 4, 32
    quantizer.zero_point, quantizer.version = True, "gemm"
    for block in next(module for module in model.modules() if isinstance(module, torch.nn.ModuleList)):
        quantizer._apply_quant(block, {n: m for n, m in block.named_modules() if isinstance(m, torch.nn.Linear)})
    return untouched(model, lambda module: type(module).__name__ == "WQLinear_GEMM")


def torchao(path, model):
    from torchao.core.config import config_from_dict
    from torchao.quantization import quantize_
    quantize_(model, config_from_dict(json.loads(path.read_text())), filter_fn=None)
    return untouched(model, lambda module: type(module.weight) is not torch.nn.Parameter or
                     type(module.weight.data) is not torch.Tensor)


def modelopt(path, model):
    import modelopt.torch.quantization as mtq
    from modelopt.recipe import load_recipe
    tokens = torch.zeros(1, 4, dtype=torch.long)
    mtq.quantize(model, load_recipe(path).quantize.model_dump(), lambda m: m(tokens))
    return untouched(model, lambda module: module.weight_quantizer.is_enabled and module.input_quantizer.is_enabled)


def neural_compressor(path, model):
    from neural_compressor.torch.quantization import RTNConfig, convert, prepare
    config = RTNConfig.from_dict(json.loads(path.read_text()))
    return untouched(convert(prepare(model, config)), lambda module: not isinstance(module, MATRICES))


class Stack(torch.nn.Module):
    """The matrices of `model` one after the other, in modules of the same names: OpenVINO converts that."""

    def __init__(self, model):
        super().__init__()
        self.order = []
        for name in matrices(model):
            parent, (*path, last) = self, name.split(".")
            for part in path:
                if part not in parent._modules:
                    parent.add_module(part, torch.nn.Module())
                parent = parent._modules[part]
            parent.add_module(last, type(model.get_submodule(name))(32, 32))
            self.order.append(parent._modules[last])

    def forward(self, x):
        for matrix in self.order:
            x = matrix(x)
        return x


def nncf(path, model):
    import nncf as tool
    import openvino
    graph = openvino.convert_model(Stack(model), example_input=torch.zeros(1, 32))
    scope = tool.IgnoredScope(**json.loads(path.read_text())["ignored_scope"])
    graph = tool.compress_weights(graph, mode=tool.CompressWeightsMode.INT8_SYM, ignored_scope=scope)
    whole = set()
    for node in graph.get_ops():
        if node.get_type_name() == "MatMul":
            source = node.input_value(1).get_node()
            while source.get_type_name() in ("Convert", "Multiply", "Reshape") and source.get_input_size():
                source = source.input_value(0).get_node()
            if "8" not in source.get_element_type().get_type_name():
                whole.add(node.get_friendly_name().removeprefix("__module.").split("/")[0])
    return [name for name in matrices(model) if name in whole]


# The package whose version is told (or the source archive's version), and whether the head is left alone too.
TOOLS = {"llm-compressor": (llm_compressor, "llmcompressor", True),
         "compressed-tensors": (compressed_tensors, "compressed-tensors", True),
         "bitsandbytes": (bitsandbytes, "bitsandbytes", True), "gptqmodel": (gptqmodel, "7.7.0", False),
         "autoawq": (autoawq, "0.2.9", True), "torchao": (torchao, "torchao", True),
         "modelopt": (modelopt, "nvidia-modelopt", True),
         "neural-compressor": (neural_compressor, "neural_compressor", True), "nncf": (nncf, "nncf", False)}
# Tools that quantize nothing of a family: its matrices are Conv1D, or a class of its own derived from nn.Linear.
NEVER = {"gpt2": ("llm-compressor", "compressed-tensors", "autoawq", "torchao"), "falcon": ("bitsandbytes",)}


def check_mixtures(program):
    """Each mixture by llm-compressor, which takes experts apart first, and by compressed-tensors on what it made."""
    from llmcompressor.modeling.moe.linearize import linearize_moe
    failed = 0
    for family, (config, expert, shared) in MIXTURES.items():
        wanted = {"lm_head"}
        for layer in SKIP:
            wanted |= {expert.format(layer - 1, e) for e in range(EXPERTS)} | {s.format(layer - 1) for s in shared}
        for tool, load in (("llm-compressor", llm_compressor), ("compressed-tensors", compressed_tensors)):
            with tempfile.TemporaryDirectory() as folder:
                model = transformers.AutoModelForCausalLM.from_config(config).eval()
                model.save_pretrained(folder)
                path = pathlib.Path(folder) / "recipe.yaml"
                subprocess.run([program, "recipe", folder, "--for", tool, "--skip", ",".join(map(str, SKIP)), "--out",
                                str(path)], check=True, stderr=subprocess.DEVNULL)
                noise = io.StringIO()
                with contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise):
                    model.config.dtype = torch.float32  # save_pretrained leaves its name there
                    linearize_moe(model)
                    model.recipe_matrices = [n for n, m in model.named_modules() if isinstance(m, MATRICES)]
                    found = set(load(path, model))
            switches = {name for name in found if name.endswith("mlp.shared_expert_gate")}
            same = found - switches == wanted and len(switches) == LAYERS * len(shared)
            version = importlib.metadata.version("llmcompressor" if tool == "llm-compressor" else tool)
            print(f"{family:9} {tool} {version}: left alone: F2 of {EXPERTS} experts{' and the shared one' * len(shared)} "
                  f"in {len(SKIP)} layers, lm_head{f', {len(switches)} shared_expert_gate' * len(shared)}, of "
                  f"{len(model.recipe_matrices)} matrices: {'as wanted' if same else f'NOT AS WANTED: {found}'}", flush=True)
            failed += not same
    return failed


def main():
    program, gptq_root, awq_root = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    torch.set_num_threads(1)
    stub_packages(gptq_root, "gptqmodel", "gptqmodel.quantization", "gptqmodel.adapter", "gptqmodel.utils")
    stub_packages(awq_root, "awq", "awq.quantize", "awq.utils", "awq.modules")
    if sys.argv[4:] == ["mixtures"]:
        sys.exit(1 if check_mixtures(program) else 0)
    failed = 0
    for family, (config, pattern) in MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            made(family).save_pretrained(folder)
            for tool, (load, version, head) in TOOLS.items():
                path = pathlib.Path(folder) / ("recipe.yaml" if tool in ("llm-compressor", "modelopt") else "recipe.py")
                subprocess.run([program, "recipe", folder, "--for", tool, "--skip", ",".join(map(str, SKIP)), "--out",
                                str(path)], check=True, stderr=subprocess.DEVNULL)
                model = made(family).eval()
                model.recipe_matrices = [n for n, m in model.named_modules() if isinstance(m, MATRICES)]
                names = model.recipe_matrices
                wanted = [pattern.format(layer - 1) for layer in SKIP] + ["lm_head"] * head
                if tool in NEVER.get(family, ()):
                    wanted = names
                noise = io.StringIO()
                with contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise):
                    found = load(path, model)
                if version[0].isalpha():
                    version = importlib.metadata.version(version)
                verdict = "as wanted" if found == wanted else f"NOT AS WANTED: {wanted}"
                told = ", ".join(found) if len(found) < 6 else f"all {len(found)}, with any recipe"
                print(f"{family:8} {tool} {version}: left alone: {told}: {verdict}", flush=True)
                failed += found != wanted
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
