#!/usr/bin/env python3
"""Makes the goldens of the recipes' matching rules: which modules each tool's own matcher finds.

    python tools/golden_recipes.py src/quantize/testdata/recipe_matches.json GPTQMODEL_SOURCE AUTOAWQ_SOURCE [mixtures]

With `mixtures` the modules are those of mixtures of experts (recipe_mixture_matches.json), of all tools but NNCF.
Needs requirements.txt and requirements-recipes.txt; GPTQModel and AutoAWQ as unpacked source archives, of which
single files are loaded.
The modules stand in a small tree of torch modules with the names of real families, 12 layers each.
"""

import fnmatch
import importlib
import importlib.metadata
import json
import pathlib
import sys
import types

import torch

VERSIONS = {"compressed-tensors": "0.20.0", "transformers": "5.23.0", "torchao": "0.18.0",
            "nvidia-modelopt": "0.47.0", "neural-compressor": "3.10", "nncf": "3.4.0"}
LAYERS = 12  # layer 1 must not be taken for 10 or 11
FAMILIES = {
    "model.layers.{}.": ["self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"],
    "transformer.h.{}.": ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"],
    "gpt_neox.layers.{}.": ["attention.query_key_value", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"],
}
MODULES = [prefix.format(layer) + module for prefix, modules in FAMILIES.items() for layer in range(LAYERS)
           for module in modules] + ["lm_head", "embed_out"]
ONE = "model.layers.1.mlp.down_proj"


def tree():
    """A torch module with MODULES as its linear layers."""
    root = torch.nn.Module()
    for name in MODULES:
        parent = root
        *path, last = name.split(".")
        for part in path:
            if part not in parent._modules:
                parent.add_module(part, torch.nn.Module())
            parent = parent._modules[part]
        parent.add_module(last, torch.nn.Linear(32, 32))
    return root


def cases(matched, lists):
    """One record a list of patterns: those lists and the indices of MODULES that the tool matches."""
    records = []
    for patterns in lists:
        found = set(matched(patterns))
        records.append({"patterns": patterns, "matched": [i for i, name in enumerate(MODULES) if name in found]})
    return records


# Regular expressions and names that trip one rule or another.
NAMES = [ONE, "lm_head", "down_proj", "mlp", "model.layers.1", "model.layers.1.", "layers.1", "model.layers.11",
         "transformer.h.1.mlp.c_proj", "h.1.mlp.c_proj", "c_proj", "mlp.c_proj", "gpt_neox.layers.1",
         "gpt_neox.layers.1.mlp.dense_4h_to_h", "dense_4h_to_h", "model.layers.2.mlp.down", "proj", "Linear", "model",
         "embed_out", "l", "model.layers.1.mlp.DOWN_PROJ", "model-layers-1-mlp-down_proj"]
EXPRESSIONS = [r"model\.layers\.1\.mlp\.down_proj", r"^model\.layers\.1\.mlp\.down_proj$", r"model\.layers\.1",
               r"model\.layers\.1\.", r".*down_proj", r".*down_proj$", r"down_proj", r"^down_proj", r"down_proj$",
               r".*\.1\.mlp\..*", r".*layers\.(1|10)\..*", r"model\.layers\.1?\d\.mlp\.down_proj",
               r"model\.layers\.[02]\..*proj", r"(?!model).*", r".*\.mlp\.(?!down_proj).*", r"lm_head|embed_out",
               r"model|lm_head", r"model.layers.1.mlp.down_proj", r".*1.mlp.*", r"(?i:MODEL)\.layers\.3\.mlp.*",
               r"model\.layers\.\d\.", r".+", r"$", r"transformer\.h\.1\.(mlp|attn)\.c_proj", r"gpt_neox\.layers\.1\b.*",
               r"(model|gpt_neox)\.layers\.(\d)\2\..*"]
WILDCARDS = [ONE, "*down_proj", "*down_proj*", "model.layers.1*", "model.layers.1.*", "*.1.*", "model.layers.?.*",
             "model.layers.[12].*", "model.layers.[!1]*.mlp.*", "model.layers.1[01].mlp.down_proj", "lm_head", "*",
             "*lm_head*", "model.layers.1", "mlp", "*mlp", "MODEL.*", "model.layers.[1", "transformer.h.1.*c_proj",
             "model.layers.1.mlp", "re:.*down_proj", "gpt_neox.*.1.*"]


def compressed_tensors():
    from compressed_tensors.utils import is_match
    modules = dict(tree().named_modules())
    lists = [[p] for p in NAMES] + [["re:" + p] for p in EXPRESSIONS]
    lists += [["lm_head", ONE], ["lm_head", "re:.*down_proj$"], [ONE, "model.layers.10.mlp.down_proj"]]
    return cases(lambda ignore: [n for n in MODULES if is_match(n, modules[n], ignore)], lists)


def transformers():
    from transformers.quantizers.quantizers_utils import should_convert_module
    lists = [[p] for p in NAMES + EXPRESSIONS] + [["lm_head", ONE]]
    return cases(lambda skip: [n for n in MODULES if not should_convert_module(n, skip)], lists)


def stub_packages(root, *packages):
    """Packages of an unpacked source archive whose modules can be imported without what __init__ imports."""
    for package in packages:
        stub = types.ModuleType(package)
        stub.__path__ = [str(root / package.replace(".", "/"))]
        sys.modules[package] = stub


def gptqmodel(root):
    stub_packages(root, "gptqmodel", "gptqmodel.quantization", "gptqmodel.adapter", "gptqmodel.utils")
    config = importlib.import_module("gptqmodel.quantization.config")
    lists = [["-:" + p] for p in EXPRESSIONS] + [["-:" + p] for p in NAMES]
    lists += [[r".*\.1\..*", r"-:.*down_proj"], [r"-:.*down_proj", r".*\.1\..*"], [r"+:.*down_proj"],
              [r"+:model\.layers\.1\..*", r"-:.*down_proj$"], [rf"-:^{ONE}$", r"-:lm_head"]]

    def skipped(patterns):
        dynamic = {p: ({} if p.startswith("-:") else {"bits": 8}) for p in patterns}
        return [n for n in MODULES if config.dynamic_get(dynamic, n) is False]

    return cases(skipped, lists)


def autoawq(root):
    stub_packages(root, "awq", "awq.utils")
    module = importlib.import_module("awq.utils.module")
    everything = dict.fromkeys(MODULES, True)

    def skipped(patterns):
        return set(MODULES) - set(module.exclude_layers_to_not_quantize(everything, patterns))

    return cases(skipped, [[p] for p in NAMES] + [["lm_head", ONE]])


def torchao():
    from torchao.quantization import FqnToConfig, Int8WeightOnlyConfig, quantize_
    everything = [["_default", True]]
    lists = [[[p, False]] + everything for p in NAMES if p not in ("Linear",)]
    lists += [[["re:" + p, False]] + everything for p in EXPRESSIONS]
    lists += [[[ONE, True], ["re:.*down_proj", False]] + everything, [["re:.*down_proj", False], [ONE, True]] + everything,
              [["re:.*down_proj", True], ["re:.*layers.1.*", False]], [["re:.*layers.1.*", False], ["re:.*down_proj", True]],
              [[ONE + ".weight", False], [ONE, True]] + everything, [["lm_head", False], [ONE, False]] + everything,
              [["re:.*down_proj.weight", False]] + everything]

    def quantized(keys):
        model = tree()
        plain = {n: m.weight for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
        quantize_(model, FqnToConfig({k: Int8WeightOnlyConfig() if on else None for k, on in keys}), filter_fn=None)
        modules = dict(model.named_modules())
        return [n for n in MODULES if type(modules[n].weight.data) is not torch.Tensor or
                type(modules[n].weight) is not type(plain[n])]

    return cases(quantized, lists)


def modelopt():
    import modelopt.torch.quantization as mtq
    from modelopt.torch.quantization.conversion import replace_quant_module, set_quantizer_by_cfg
    on = ["*", True]
    lists = [[on, [p + ".weight_quantizer", False]] for p in WILDCARDS] + [[on, [p, False]] for p in WILDCARDS]
    lists += [[on, [p + ".*", False]] for p in WILDCARDS]
    lists += [[on, ["*down_proj.*", False], [ONE + ".*", True]], [on, [ONE + ".*", False], ["*down_proj.*", True]],
              [on, [ONE + ".input_quantizer", False]]]

    def disabled(entries):
        model = tree()
        replace_quant_module(model)
        set_quantizer_by_cfg(model, [{"quantizer_name": p, "enable": e} for p, e in entries])
        modules = dict(model.named_modules())
        return [n for n in MODULES if not modules[n].weight_quantizer.is_enabled]

    assert mtq is not None
    return cases(disabled, lists)


def neural_compressor():
    from neural_compressor.torch.quantization import RTNConfig
    lists = [[[p, False]] for p in EXPRESSIONS + NAMES]
    lists += [[[r".*down_proj", False], [ONE, True]], [[ONE, True], [r".*down_proj", False]]]

    def kept(local):
        config = RTNConfig(quant_lm_head=True)
        for pattern, quantizes in local:
            config.set_local(pattern, RTNConfig(dtype="int" if quantizes else "fp32"))
        mapping = config.to_config_mapping(model_info=[(n, "Linear") for n in MODULES])
        return [name for (name, _), chosen in mapping.items() if chosen.dtype == "fp32"]

    return cases(kept, lists)


def nncf():
    from nncf import IgnoredScope
    from nncf.common.graph import NNCFGraph
    from nncf.common.graph.operator_metatypes import UnknownMetatype
    from nncf.scopes import get_ignored_node_names_from_ignored_scope
    graph = NNCFGraph()
    node = "__module.{}/aten::linear/MatMul".format
    for name in MODULES:
        graph.add_nncf_node(node_name=node(name), node_type="MatMul", node_metatype=UnknownMetatype)
    lists = [{"names": [], "patterns": [start + p]} for p in EXPRESSIONS for start in ("", r"__module\.", r"^(__module\.)?")]
    lists += [{"names": [], "patterns": [r"^(__module\.)?" + p + "/"]} for p in EXPRESSIONS]
    lists += [{"names": [node(ONE)], "patterns": []}, {"names": [ONE], "patterns": []}]
    lists += [{"names": [node("lm_head")], "patterns": [".*/aten::linear/MatMul$"]}]

    def ignored(scope):
        found = get_ignored_node_names_from_ignored_scope(IgnoredScope(**scope), graph, strict=False)
        return [n for n in MODULES if node(n) in found]

    return cases(ignored, lists)


def python_fnmatch():
    """TensorRT-LLM's rule is Python's own; its package cannot be had without a GPU's libraries."""
    return cases(lambda exclude: [n for n in MODULES if any(fnmatch.fnmatchcase(n, p) for p in exclude)],
                 [[p] for p in WILDCARDS])


def use_mixtures():
    """Mixtures' modules in place of dense models', and what trips a rule there."""
    global MODULES, ONE, NAMES, EXPRESSIONS, WILDCARDS
    layer = "model.layers.{}."
    experts = [f"mlp.experts.{e}.{m}" for e in range(12) for m in ("gate_proj", "down_proj")]
    shared = ["mlp.gate", "mlp.shared_expert.down_proj", "mlp.shared_expert_gate", "self_attn.o_proj"]
    old = [f"block_sparse_moe.experts.{e}.{m}" for e in range(12) for m in ("w1", "w2")] + ["block_sparse_moe.gate"]
    MODULES = [layer.format(i) + m for i in (1, 10, 11) for m in shared + experts + old] + ["lm_head"]
    ONE = "model.layers.1.mlp.experts.1.down_proj"
    NAMES = [ONE, "model.layers.1.mlp.experts", "model.layers.1.mlp.experts.1", "experts.1.down_proj", "down_proj", "w2",
             "model.layers.1.mlp.gate", "model.layers.1.mlp.shared_expert", "model.layers.1.mlp.shared_expert.down_proj",
             "mlp.gate", "gate", "model.layers.1.block_sparse_moe.gate", "model.layers.1.block_sparse_moe.experts.1.w2"]
    EXPRESSIONS = [r"model\.layers\.1\.mlp\.experts\.\d+\.down_proj", r"^model\.layers\.1\.mlp\.experts\.\d+\.down_proj$",
                   r"model\.layers\.1\.mlp\.experts\.1", r"model\.layers\.\d+\.mlp\.gate", r"^model\.layers\.\d+\.mlp\.gate$",
                   r"model\.layers\.1.*\.down_proj", r".*experts\.\d\.down_proj", r".*mlp\.gate$", r".*shared_expert.*",
                   r"model\.layers\.1\.block_sparse_moe\.experts\.\d+\.w2", r".*\.w2$", r".*block_sparse_moe\.gate"]
    WILDCARDS = ["model.layers.1.mlp.experts.*.down_proj", "model.layers.1.mlp.experts.?.down_proj", "*.experts.*",
                 "model.layers.*.mlp.gate", "*mlp.gate*", "model.layers.1.mlp.shared_expert*", "*.w2", "model.layers.1.mlp",
                 "model.layers.1*experts.1*.down_proj", "model.layers.1.block_sparse_moe.experts.*.w2"]


def main():
    if mixtures := sys.argv[4:] == ["mixtures"]:
        use_mixtures()
    target, gptq_root, awq_root = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    torch.set_num_threads(1)
    for package, version in VERSIONS.items():
        if mixtures and package == "nncf":
            continue
        found = importlib.metadata.version(package)
        if found != version:
            sys.exit(f"{package} {version} is wanted, {found} is installed")
    rules = {"compressed-tensors": compressed_tensors(), "transformers": transformers(), "autoawq": autoawq(awq_root),
             "torchao": torchao(), "modelopt": modelopt(), "neural-compressor": neural_compressor(),
             "fnmatch": python_fnmatch(), "gptqmodel": gptqmodel(gptq_root)}
    if not mixtures:
        rules["nncf"] = nncf()
    lines = [f'{json.dumps(name)}: [\n' + ",\n".join("  " + json.dumps(c) for c in records) + "\n]"
             for name, records in rules.items()]
    target.write_text('{"modules": ' + json.dumps(MODULES) + ',\n' + ",\n".join(lines) + "}\n")
    for name, records in rules.items():
        print(f"{name}: {len(records)} lists of patterns, {sum(len(c['matched']) for c in records)} matches")


if __name__ == "__main__":
    main()
