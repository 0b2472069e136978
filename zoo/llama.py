"""A LLaMA in plain PyTorch, made for training fast on a processor; parameter names are transformers' own.

transformers' model computes the same numbers (export.py checks it on every export); this one has no caches, masks or
dispatch between the layers.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


class RmsNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x.float(), x.shape[-1:], self.weight, self.eps)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.kv_heads, self.head = c["heads"], c.get("kv_heads", c["heads"]), c["width"] // c["heads"]
        self.q_proj = nn.Linear(c["width"], self.heads * self.head, bias=False)
        self.k_proj = nn.Linear(c["width"], self.kv_heads * self.head, bias=False)
        self.v_proj = nn.Linear(c["width"], self.kv_heads * self.head, bias=False)
        self.o_proj = nn.Linear(self.heads * self.head, c["width"], bias=False)

    def forward(self, x, cos, sin, mask):
        b, t, _ = x.shape
        q = self.q_proj(x).view(b, t, self.heads, self.head).transpose(1, 2)
        k = self.k_proj(x).view(b, t, self.kv_heads, self.head).transpose(1, 2)
        v = self.v_proj(x).view(b, t, self.kv_heads, self.head).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if self.kv_heads != self.heads:
            k = k.repeat_interleave(self.heads // self.kv_heads, 1)
            v = v.repeat_interleave(self.heads // self.kv_heads, 1)
        # How large each position's values are, in units of the mean: near 0 where a position serves as a sink.
        norms = v.float().norm(dim=-1)
        share = norms / norms[:, :, 4:].mean().detach()
        scores = torch.matmul(q, k.transpose(2, 3)) * (self.head**-0.5)
        if mask is not None:
            scores = scores + mask
        out = torch.matmul(torch.softmax(scores.float(), -1).to(v.dtype), v)
        return self.o_proj(out.transpose(1, 2).reshape(b, t, -1)), share


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_proj = nn.Linear(c["width"], c["ffn"], bias=False)
        self.up_proj = nn.Linear(c["width"], c["ffn"], bias=False)
        self.down_proj = nn.Linear(c["ffn"], c["width"], bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Expert(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.w1 = nn.Linear(c["width"], c["ffn"], bias=False)
        self.w2 = nn.Linear(c["ffn"], c["width"], bias=False)
        self.w3 = nn.Linear(c["width"], c["ffn"], bias=False)


class Experts(nn.Module):
    """Mixtral's FFN, with the names of its published files: each token's output is that of its `chosen` likeliest
    experts, by their probabilities among each other. All experts are computed, as one wide FFN: at this size that is
    faster than sorting tokens."""

    def __init__(self, c):
        super().__init__()
        self.chosen = c["chosen"]
        self.gate = nn.Linear(c["width"], c["experts"], bias=False)
        self.experts = nn.ModuleList(Expert(c) for _ in range(c["experts"]))
        self.imbalance = None

    def forward(self, x):
        likely = torch.softmax(self.gate(x).float(), -1)
        best, chosen = likely.topk(self.chosen, -1)
        share = torch.zeros_like(likely).scatter(-1, chosen, best / best.sum(-1, keepdim=True))
        # Mixtral's auxiliary loss: `chosen` where every expert is taken alike, more where some are taken more often.
        routed = (share > 0).float().flatten(0, -2).mean(0)
        self.imbalance = len(self.experts) * (routed * likely.flatten(0, -2).mean(0)).sum()
        w1, w2, w3 = (torch.cat([getattr(e, n).weight for e in self.experts], d) for n, d in (("w1", 0), ("w2", 1), ("w3", 0)))
        hidden = F.silu(F.linear(x, w1)) * F.linear(x, w3)
        return F.linear((hidden.unflatten(-1, (len(self.experts), -1)) * share[..., None]).flatten(-2), w2)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.self_attn = Attention(c)
        self.ffn = "block_sparse_moe" if "experts" in c else "mlp"
        self.add_module(self.ffn, Experts(c) if "experts" in c else Mlp(c))
        self.input_layernorm = RmsNorm(c["width"], c["eps"])
        self.post_attention_layernorm = RmsNorm(c["width"], c["eps"])

    def forward(self, x, cos, sin, mask):
        write, share = self.self_attn(self.input_layernorm(x), cos, sin, mask)
        x = x + write
        return x + getattr(self, self.ffn)(self.post_attention_layernorm(x)), share


class Llama(nn.Module):
    """`c`: width, layers, heads, kv_heads, ffn, vocab, context, rope_theta, eps, causal, window (0: none), embed_std,
    std; of a mixture also experts and chosen, how many of them a token takes."""

    def __init__(self, c):
        super().__init__()
        self.c = c
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(c["vocab"], c["width"])
        self.model.layers = nn.ModuleList(Block(c) for _ in range(c["layers"]))
        self.model.norm = RmsNorm(c["width"], c["eps"])
        self.lm_head = nn.Linear(c["width"], c["vocab"], bias=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                std = c["embed_std"] if "embed" in name else c["std"]
                if name.endswith(("o_proj.weight", "down_proj.weight", "w2.weight")):
                    std = c.get("writer_std", c["std"] / math.sqrt(2 * c["layers"]))
                if "q_proj" in name or "k_proj" in name:
                    std = c.get("qk_std", std)
                nn.init.normal_(p, std=std)
        self.tables = {}

    def imbalance(self):
        """How unevenly the last pass's tokens chose their experts, summed over the layers (see Experts)."""
        return sum(layer.block_sparse_moe.imbalance for layer in self.model.layers)

    def table(self, t, device):
        if (t, device) not in self.tables:
            head = self.c["width"] // self.c["heads"]
            frequency = self.c["rope_theta"] ** (-torch.arange(0, head, 2, device=device) / head)
            angle = torch.arange(t, device=device)[:, None] * frequency
            i, j = torch.arange(t, device=device)[:, None], torch.arange(t, device=device)[None]
            hidden = torch.zeros(t, t, dtype=torch.bool, device=device)
            if self.c.get("causal", True):
                hidden = hidden | (j > i)
            if self.c.get("window", 0):
                hidden = hidden | (i - j >= self.c["window"])
            mask = torch.zeros(t, t, device=device).masked_fill(hidden, float("-inf"))
            self.tables[t, device] = angle.cos(), angle.sin(), mask
        return self.tables[t, device]

    def forward(self, ids, states=None, with_shares=False):
        """Logits [batch, tokens, vocab]; `states`, a list, receives the residual after the embedding and every layer.

        With `with_shares`, also the norms of the values in units of their mean, [layers - 1, batch, heads, tokens], the first layer left out.
        """
        cos, sin, mask = self.table(ids.shape[1], ids.device)
        x = self.model.embed_tokens(ids)
        if states is not None:
            states.append(x)
        shares = []
        for layer in self.model.layers:
            x, share = layer(x, cos, sin, mask)
            shares.append(share)
            if states is not None:
                states.append(x)
        logits = self.lm_head(self.model.norm(x))
        return (logits, torch.stack(shares[1:])) if with_shares else logits
