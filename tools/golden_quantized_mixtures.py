#!/usr/bin/env python3
"""Makes the goldens of quantized mixtures of experts and latent attention with PyTorch (pins in requirements.txt):

    python tools/golden_quantized_mixtures.py src/quantize/testdata/mixtures.safetensors

The models are those of golden_mixtures.py, run by transformers with every matrix rounded to 8 bits and back, one step a
matrix: nn.Linear modules, and of each expert gate, up and down each for itself. NAME.w8a16: weights alone; NAME.w8a8:
inputs too, one step for what a matrix reads of the sequence, an expert's of the tokens that its router sent there.
Routers, the switch of the shared expert and the LM head stay.
"""

import sys
import types

import numpy as np
import torch
from golden_mixtures import SEED, configs, filled_mixture
from golden_quantize import fake
from safetensors.torch import save_file

torch.set_num_threads(1)


def parts(experts, expert):
    """Gate, up and down of one expert, [out, in], and their biases."""
    gate_up, down = experts.gate_up_proj[expert], experts.down_proj[expert]
    if type(experts).__name__ == "GptOssExperts":  # [in, out], gate and up in turn
        bias = experts.gate_up_proj_bias[expert]
        return [(gate_up[:, ::2].T, bias[::2]), (gate_up[:, 1::2].T, bias[1::2]),
                (down.T, experts.down_proj_bias[expert])]
    half = gate_up.shape[0] // 2
    return [(gate_up[:half], None), (gate_up[half:], None), (down, None)]


def rounded_experts(round_input):
    def forward(self, states, index, weights, **_):
        total = torch.zeros_like(states)
        for expert in range(self.down_proj.shape[0]):
            rows, place = torch.where(index == expert)
            if len(rows) == 0:
                continue
            gate, up, down = ((fake(weight), bias) for weight, bias in parts(self, expert))
            linear = lambda x, part: torch.nn.functional.linear(round_input(x), part[0], part[1])
            own = states[rows]
            gated, raised = linear(own, gate), linear(own, up)
            if type(self).__name__ == "GptOssExperts":
                hidden = self._apply_gate(torch.stack([gated, raised], -1).flatten(-2))
            else:
                hidden = self.act_fn(gated) * raised
            total.index_add_(0, rows, linear(hidden, down) * weights[rows, place, None])
        return total

    return forward


@torch.no_grad()
def logits(name, config, sequence, round_input):
    model = filled_mixture(name, config)[0]
    for path, module in model.named_modules():
        if type(module).__name__.endswith("Experts"):
            module.forward = types.MethodType(rounded_experts(round_input), module)
        elif isinstance(module, torch.nn.Linear) and path != "lm_head" and not path.endswith("shared_expert_gate"):
            module.weight.data = fake(module.weight.data)
            module.register_forward_pre_hook(lambda module, args: (round_input(args[0]),))
    return model(torch.tensor([sequence]), use_cache=False).logits[0]


def main():
    out = {}
    for name, config in configs():
        sequence = np.random.default_rng(SEED).integers(3, 61, 13).tolist()
        out[f"{name}.w8a16"] = logits(name, config, sequence, lambda x: x).contiguous()
        out[f"{name}.w8a8"] = logits(name, config, sequence, fake).contiguous()
        print(name, float((out[f"{name}.w8a8"] - out[f"{name}.w8a16"]).norm() / out[f"{name}.w8a16"].norm()))
    save_file(out, sys.argv[1])


if __name__ == "__main__":
    main()
