"""Ways to begin or change a training other than from nothing: growth, LoRA, masking."""

import torch
from torch import nn
from torch.nn.utils import parametrize

import measure


def begin_from(model, folder):
    """Copies the weights of a zoo model of the same shape."""
    model.load_state_dict(measure.load_llama(folder)[0].state_dict())


@torch.no_grad()
def grow_from(model, folder):
    """Embeds a smaller model's weights in the larger space, so that at first it computes the same function.

    The old model lives in the first rows and columns; new residual dimensions start almost empty, new heads and neurons
    write nothing. RMSNorm now divides by the root of a mean over more dimensions, which the gains make good.
    """
    small, c = measure.load_llama(folder)
    big = model.c
    if big["width"] // big["heads"] != c["width"] // c["heads"] or big["layers"] != c["layers"]:
        raise SystemExit("growth keeps the head size and the number of layers")
    gain = (c["width"] / big["width"]) ** 0.5
    old = small.state_dict()
    for name, p in model.named_parameters():
        source = old[name]
        if p.dim() == 1:
            p.fill_(gain)
            p[: len(source)] = source * gain
            continue
        if "embed" in name:
            p[:, source.shape[1]:] *= 0.02
        elif name.endswith(("o_proj.weight", "down_proj.weight")):
            p[: source.shape[0], source.shape[1]:] = 0
            p[source.shape[0]:] *= 0.05
        p[: source.shape[0], : source.shape[1]] = source


class LowRank(nn.Module):
    """W + B A, with W fixed; B starts at nought."""

    def __init__(self, weight, rank):
        super().__init__()
        self.a = nn.Parameter(torch.randn(rank, weight.shape[1]) / weight.shape[1] ** 0.5)
        self.b = nn.Parameter(torch.zeros(weight.shape[0], rank))

    def forward(self, weight):
        return weight + self.b @ self.a


def add_lora(model, rank):
    """Low-rank updates on every matrix of the layers; all else stands still."""
    for p in model.parameters():
        p.requires_grad_(False)
    for module in model.model.layers.modules():
        if isinstance(module, nn.Linear):
            parametrize.register_parametrization(module, "weight", LowRank(module.weight, rank))


def merge_lora(model):
    for module in model.modules():
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)


def mask_tokens(rows, mask, vocab, generator, specials):
    """Masked-LM inputs and targets: 15 % of the tokens, of them 80 % masked, 10 % random, 10 % kept; -100: no target.

    The first `specials` entries of the vocabulary are neither masked nor put in by chance.
    """
    chosen = (torch.rand(rows.shape, generator=generator) < 0.15) & (rows >= specials)
    kind = torch.rand(rows.shape, generator=generator)
    inputs = rows.clone()
    inputs[chosen & (kind < 0.8)] = mask
    random = torch.randint(specials, vocab, rows.shape, generator=generator)
    swap = chosen & (kind >= 0.8) & (kind < 0.9)
    inputs[swap] = random[swap]
    return inputs, torch.where(chosen, rows, torch.full_like(rows, -100))
