#!/usr/bin/env python3
"""Makes the goldens of the linear forms A and F from transformers' own layers (pins in requirements.txt):

    python tools/golden_forms.py src/linearize/testdata/forms [NAME...]

for the models of golden_forward.py and golden_mixtures.py, in f64, layers 0 and 1. NAME.safetensors has, f32,
a row for each fixed direction w ("direction.K", drawn like a weight):

  A.L        A w: what the layer does to one token, its FFN's last matrix zeroed, norms held, the same of a zero
             vector and w itself taken off. An olmo layer's clipping of values is switched off, gpt-oss' sinks
             are at minus infinity.
  F.L        the mean over 20,000 samples z ~ N(0, I) of the Jacobian-vector product along w of the layer with its
             attention's last matrix zeroed and norms held, w itself taken off; F.L.error the standard errors
  F.L.e0, F.L.e1, F.L.shared    in layers with experts: the same of single experts behind the layer's held norm
  share.L, switch.L             mean weight that the router gives each expert, that the shared expert has
  sink.L                        mean share of a lone token beside the sink, by head
  size.L                        (norms after alone) Frobenius norm of the mean Jacobian before the norm

A held norm is diag(g) P x + s: the module's own value at a large x, its 1/rms taken back. Norms after attention
and FFN are held at 1/rms = 1 too, but where there are no others (OLMo-2): there A's is held at the mean it has
over inputs N(0, I), F's at 1. MLA's latent norm is held at that mean in any case. Norms of sums (BERT): A is seen
without them, F behind the first alone, and its directions are what that norm makes of w.
"""

import pathlib
import re
import sys

import numpy as np
import torch
import transformers.models.bloom.modeling_bloom as bloom
from safetensors.numpy import save_file

import golden_forward
import golden_mixtures
from golden_forward import SEED, blocks_of, generate

torch.set_num_threads(1)
bloom.GeLUFunction.apply = bloom.bloom_gelu_forward  # the same values, differentiable forwards
SAMPLES, CHUNK = 20000, 2000
ATTENTION_OUT = re.compile(
    r"(o_proj|attn\.(out_proj|c_proj|dense)|attention\.(out_proj|dense|output\.dense|out_lin)|self_attention\.dense)"
    r"\.(weight|bias)$")
FFN_OUT = re.compile(
    r"(down_proj(_bias)?|mlp\.(c_proj|dense_4h_to_h|fc2|fc_out)|^fc2|ffn\.lin2|^output\.dense)(\.(weight|bias))?$")
INNER = re.compile(r"(q_norm|k_norm|q_layernorm|k_layernorm|q_a_layernorm|kv_a_layernorm|norms\.\d+)$")
SUMS = ("bert", "roberta", "distilbert", "openai-gpt")  # norms of the sums


class HeldNorm(torch.nn.Module):
    """x -> scale (M x) + shift, M x = diag(g) P x from the module itself."""

    def __init__(self, module, d, scale=1.0):
        super().__init__()
        unit = torch.eye(d, dtype=torch.float64)
        large = 2.0 ** 20
        with torch.no_grad():
            shift = module(torch.zeros(1, d, dtype=torch.float64))[0].to(torch.float64)
            probe = torch.linspace(-1, 2, d, dtype=torch.float64)[None]
            centred = torch.allclose(module(probe), module(probe + 3), atol=1e-5)
            inputs = unit - unit.mean(1, keepdim=True) if centred else unit
            inputs = inputs * large
            rms = inputs.pow(2).mean(1, keepdim=True).sqrt()
            self.matrix = (module(inputs).to(torch.float64) - shift) * rms / large  # row i: M e_i
        self.shift, self.scale = shift, scale

    def linear(self, x):
        return x @ self.matrix * self.scale

    def forward(self, x):
        return self.linear(x) + self.shift


def owner(root, path):
    *parents, last = path.split(".")
    for parent in parents:
        root = getattr(root, parent)
    return root, last


def module_at(root, path):
    parent, last = owner(root, path)
    return getattr(parent, last)


class Layer:
    """One block of a model, called as the model calls it, on many single tokens at a time."""

    def __init__(self, model, index, width):
        self.model, self.module, self.d = model, blocks_of(model)[index], width
        self.inputs = {}
        self.weights = {name: value.detach().clone() for name, value in self.module.named_parameters()}
        self.norms = {name: module for name, module in self.module.named_modules()
                      if "norm" in type(module).__name__.lower() and not INNER.search(name)}
        kind = model.config.model_type
        self.sums = kind in SUMS or (kind == "opt" and not model.config.do_layer_norm_before)
        self.after_alone = kind in ("olmo2", "exaone4")
        self.experts = getattr(self.module, "mlp", None)
        if not hasattr(self.experts, "experts"):
            self.experts = None
        self.capture(CHUNK)  # before Jacobian-vector products, inside which some models cannot run

    def capture(self, count):
        """What the model hands the block beside `count` single tokens' states."""
        hook = self.module.register_forward_pre_hook(
            lambda module, args, kwargs: self.inputs.__setitem__(count, (args, kwargs)), with_kwargs=True)
        cache = {} if golden_forward.is_masked(self.model.config) else dict(use_cache=False)
        with torch.no_grad():
            self.model(torch.full((count, 1), 5), **cache)
        hook.remove()

    def call(self, x):
        """[n, d] -> [n, d]"""
        count = len(x)
        if count not in self.inputs:
            self.capture(count)
        args, kwargs = self.inputs[count]
        if args:
            output = self.module(x[:, None], *args[1:], **kwargs)
        else:
            output = self.module(**{**kwargs, "hidden_states": x[:, None]})
        output = output[0] if isinstance(output, (tuple, list)) else output
        return output.reshape(count, self.d)

    def zero(self, pattern):
        with torch.no_grad():
            hits = [p.zero_() for name, p in self.module.named_parameters() if pattern.search(name)]
        assert hits, pattern.pattern

    def put(self, name, module):
        parent, last = owner(self.module, name)
        setattr(parent, last, module)

    def restore(self):
        with torch.no_grad():
            for name, value in self.module.named_parameters():
                value.copy_(self.weights[name])
        for name, module in self.norms.items():
            self.put(name, module)

    def hold(self, which=lambda name: True):
        for name, module in self.norms.items():
            self.put(name, HeldNorm(module, self.d) if which(name) else torch.nn.Identity())


def ordered_norms(layer):
    """Their names in the order in which the layer calls them."""
    seen, hooks = [], []
    token = torch.zeros(1, layer.d, dtype=torch.float64)
    layer.call(token)
    for name, module in layer.norms.items():
        hooks.append(module.register_forward_hook(lambda *_, name=name: seen.append(name)))
    with torch.no_grad():
        layer.call(token)
    for hook in hooks:
        hook.remove()
    return seen


def linear_map(function, x):
    """What is linear of an affine function, of each row."""
    with torch.no_grad():
        values = function(torch.cat([x, torch.zeros_like(x[:1])]))
    return values[:-1] - values[-1:]


def hold_latent(layer, norm_in):
    attention = layer.module.self_attn
    unit = torch.eye(layer.d, dtype=torch.float64)
    latent = linear_map(attention.kv_a_proj_with_mqa, norm_in.linear(unit))[:, : attention.kv_lora_rank]
    size = latent.pow(2).sum().sqrt()
    module = attention.kv_a_layernorm
    attention.kv_a_layernorm = HeldNorm(module, attention.kv_lora_rank, attention.kv_lora_rank ** 0.5 / size)
    return module


def attention_form(layer, order, w):
    layer.zero(FFN_OUT)
    layer.hold(lambda name: not (layer.sums or layer.after_alone))
    kept = None
    if hasattr(layer.module, "self_attn") and hasattr(layer.module.self_attn, "kv_a_layernorm"):
        kept = hold_latent(layer, module_at(layer.module, order[0]))
    form = lambda x: linear_map(layer.call, x) - x
    if layer.after_alone:
        size = form(torch.eye(layer.d, dtype=torch.float64)).pow(2).sum().sqrt()
        layer.put(order[0], HeldNorm(layer.norms[order[0]], layer.d, layer.d ** 0.5 / size))
    result = form(w)
    if kept is not None:
        layer.module.self_attn.kv_a_layernorm = kept
    layer.restore()
    return result


def chunks(d, stream):
    generator = torch.Generator().manual_seed(SEED + stream)
    for _ in range(SAMPLES // CHUNK):
        yield torch.randn(CHUNK, d, dtype=torch.float64, generator=generator)


def mean_and_error(pieces):
    values = torch.cat(pieces)
    return values.mean(0), values.std(0) / len(values) ** 0.5


def mean_products(function, w, d, stream):
    """Mean and standard error over samples of the Jacobian-vector products along each row of w."""
    rows = []
    for direction in w:
        pieces = []
        for z in chunks(d, stream):
            pieces.append(torch.func.jvp(function, (z,), (direction.expand_as(z).contiguous(),))[1].detach())
        rows.append(mean_and_error(pieces))
    return torch.stack([m for m, _ in rows]), torch.stack([e for _, e in rows])


def jacobian_size(function, d, stream):
    """Frobenius norm of the mean Jacobian (pairs of different chunks: unbiased), and its standard error."""
    unit = torch.eye(d, dtype=torch.float64)
    means = []
    for z in chunks(d, stream):
        rows = [torch.func.jvp(function, (z,), (u.expand_as(z).contiguous(),))[1].detach().mean(0) for u in unit]
        means.append(torch.stack(rows))
    stack = torch.stack(means)
    n, total = len(stack), stack.sum(0)
    square = (total.pow(2).sum() - stack.pow(2).sum()) / (n * (n - 1))
    size = square.sqrt()
    along = (stack * (total / n)).sum((1, 2)) / size
    return torch.stack([size, along.std() / n ** 0.5])


def ffn_form(layer, order, w, stream, arrays, stem):
    layer.zero(ATTENTION_OUT)
    layer.hold()
    if layer.sums:
        layer.put(order[-1], torch.nn.Identity())
        w_in = module_at(layer.module, order[0]).linear(w)
        mean, error = mean_products(layer.call, w, layer.d, stream)
        mean = mean - w_in
    else:
        mean, error = mean_products(lambda z: layer.call(z) - z, w, layer.d, stream)
    arrays[stem], arrays[stem + ".error"] = mean, error
    if layer.after_alone:
        layer.hold(lambda name: False)
        arrays[stem.replace("F", "size")] = jacobian_size(lambda z: layer.call(z) - z, layer.d, stream)
    layer.restore()


def expert_forms(layer, order, w, stream, arrays, stem, number):
    block = layer.experts
    norm = HeldNorm(layer.norms[order[-1]], layer.d)
    for expert in (0, 1):
        def one(z, expert=expert):
            index = torch.full((len(z), 1), expert)
            return block.experts(norm(z), index, torch.ones(len(z), 1, dtype=torch.float64))
        arrays[f"{stem}.e{expert}"], arrays[f"{stem}.e{expert}.error"] = mean_products(one, w, layer.d, stream)
    shared = getattr(block, "shared_experts", getattr(block, "shared_expert", None))
    if shared is not None:
        arrays[f"{stem}.shared"], arrays[f"{stem}.shared.error"] = mean_products(
            lambda z: shared(norm(z)), w, layer.d, stream)
    router = getattr(block, "gate", getattr(block, "router", None))
    weights, switches = [], []
    with torch.no_grad():
        for z in chunks(layer.d, stream):
            _, given, chosen = router(norm(z))
            count = block.experts.num_experts
            weights.append(torch.zeros(len(z), count, dtype=torch.float64).scatter_(1, chosen, given.double()))
            if hasattr(block, "shared_expert_gate"):
                switches.append(torch.sigmoid(block.shared_expert_gate(norm(z))))
    arrays[f"share.{number}"] = torch.stack(mean_and_error(weights))
    if switches:
        arrays[f"switch.{number}"] = torch.stack(mean_and_error(switches))


def sink_shares(layer, stream):
    layer.hold()
    pieces = []
    hook = layer.module.self_attn.register_forward_hook(
        lambda module, args, output: pieces.append(output[1].reshape(len(output[1]), -1)))
    with torch.no_grad():
        for z in chunks(layer.d, stream):
            layer.call(z)
    hook.remove()
    layer.restore()
    return torch.stack(mean_and_error(pieces[-(SAMPLES // CHUNK):]))


def make(name, model, width, folder):
    model = model.to(torch.float64)
    model.config._experts_implementation = "eager"  # the others know no f64
    w = torch.stack([torch.from_numpy(generate(f"direction.{k}", [width], 0, 0.0)).double() for k in range(3)])
    arrays = {}
    for index in (0, 1):
        layer = Layer(model, index, width)
        order = ordered_norms(layer)
        if hasattr(getattr(layer.module, "self_attn", None), "sinks"):
            arrays[f"sink.{index}"] = sink_shares(layer, index)
            with torch.no_grad():
                layer.weights["self_attn.sinks"].fill_(-1e30)
            layer.restore()
        arrays[f"A.{index}"] = attention_form(layer, order, w)
        if layer.experts is None:
            ffn_form(layer, order, w[:2], index, arrays, f"F.{index}")
        else:
            expert_forms(layer, order, w[:2], index, arrays, f"F.{index}", index)
    save_file({key: value.numpy().astype(np.float32) for key, value in arrays.items()},
              folder / f"{name}.safetensors")
    largest = max(float((value / arrays[key[: -len(".error")]].abs().mean()).mean())
                  for key, value in arrays.items() if key.endswith(".error"))
    print(name, order, f"standard errors {100 * largest:.2f} % of a component", flush=True)


def models():
    for name, config in [*golden_forward.configs(), *golden_forward.more_configs()]:
        if getattr(config, "clip_qkv", None):
            config.clip_qkv = None
        yield name, config, lambda config=config: golden_forward.filled(config, "eager")
    for name, config in golden_mixtures.configs():
        yield name, config, lambda name=name, config=config: golden_mixtures.filled_mixture(name, config)[0]


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, config, build in models():
        if not sys.argv[2:] or name in sys.argv[2:]:
            torch.manual_seed(0)
            make(name, build(), config.hidden_size, folder)


if __name__ == "__main__":
    main()
