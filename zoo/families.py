"""The zoo's other families: transformers' own models, small, behind the interface of llama.Llama."""

import torch
from torch import nn


class FromTransformers(nn.Module):
    """Wraps a transformers model: logits of ids, and the residual stream as seen at the doors of its layers."""

    def __init__(self, model, layers):
        super().__init__()
        self.inner, self.seen, self.values = model, None, None
        for i, layer in enumerate(layers):
            if i == 0:
                layer.register_forward_pre_hook(self._before, with_kwargs=True)
            layer.register_forward_hook(self._after)
            if i > 0:
                value_module(layer).register_forward_hook(self._value)

    def _before(self, module, args, kwargs):
        if self.seen is not None:
            self.seen.append(args[0] if args else kwargs["hidden_states"])

    def _after(self, module, args, out):
        if self.seen is not None:
            self.seen.append(out[0] if isinstance(out, tuple) else out)

    def _value(self, module, args, out):
        if self.values is not None:
            self.values.append(out)

    def forward(self, ids, states=None, with_shares=False):
        """As llama.Llama's."""
        self.seen, self.values = states, [] if with_shares else None
        masked = self.inner.config.model_type == "bert"
        logits = self.inner(input_ids=ids, **({} if masked else {"use_cache": False})).logits
        values, self.seen, self.values = self.values, None, None
        if not with_shares:
            return logits
        norms = torch.stack([self._values_of(v).float().norm(dim=-1) for v in values])
        return logits, norms / norms[..., 4:].mean((1, 2, 3), keepdim=True).detach()

    def _values_of(self, out):
        """Values [batch, heads, tokens, head size] in the output of the module that computes them."""
        b, t, n = out.shape
        kind, heads = self.inner.config.model_type, self.inner.config.num_attention_heads
        if kind == "gpt2":  # query, key, value one after the other
            out = out[..., 2 * n // 3 :].view(b, t, heads, -1)
        elif kind == "gpt_neox":  # query, key, value within each head
            out = out.view(b, t, heads, 3, -1)[:, :, :, 2]
        else:
            out = out.view(b, t, heads, -1)
        return out.transpose(1, 2)

    def config_dict(self):
        keep = self.inner.config.to_diff_dict()
        keep.pop("transformers_version", None)
        keep["architectures"] = [type(self.inner).__name__]
        keep["torch_dtype"] = "bfloat16"
        keep.pop("dtype", None)
        if keep["model_type"] == "gpt_neox":  # the names that readers older than rope_parameters know
            keep.update(rotary_pct=0.25, rotary_emb_base=10000)
        return keep

    def tensors(self):
        """State dict without the tensors that are another's alias (tied heads) and without rotary buffers."""
        out, seen = {}, set()
        for name, tensor in self.inner.state_dict().items():
            if tensor.data_ptr() in seen and tensor.numel():
                continue
            seen.add(tensor.data_ptr())
            out[name] = tensor
        return out


def layers_of(model):
    kind = model.config.model_type
    if kind == "bert":
        return model.bert.encoder.layer
    return model.transformer.h if kind == "gpt2" else model.gpt_neox.layers if kind == "gpt_neox" else model.model.layers


def value_module(layer):
    """The module of a layer whose output holds the values."""
    if hasattr(layer, "attn"):
        return layer.attn.c_attn
    return layer.attention.self.value if hasattr(layer.attention, "self") else layer.attention.query_key_value


def load(folder):
    """A zoo model of any family through transformers, in float32."""
    import json
    from pathlib import Path

    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    kind = json.loads((Path(folder) / "config.json").read_text())["model_type"]
    auto = AutoModelForMaskedLM if kind == "bert" else AutoModelForCausalLM
    model = auto.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    return FromTransformers(model, layers_of(model))


def build(family, c):
    """A fresh model of a family with the shape `c` (llama.Llama's keys)."""
    import transformers as t

    common = dict(vocab_size=c["vocab"], bos_token_id=0, eos_token_id=None)
    if family == "gpt2":
        config = t.GPT2Config(n_positions=c["context"], n_embd=c["width"], n_layer=c["layers"], n_head=c["heads"],
                              n_inner=c["ffn"], resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
                              initializer_range=c["std"], **common)
        config._attn_implementation = "eager"
        model = t.GPT2LMHeadModel(config)
    elif family == "gpt_neox":
        config = t.GPTNeoXConfig(hidden_size=c["width"], num_hidden_layers=c["layers"], num_attention_heads=c["heads"],
                                 intermediate_size=c["ffn"], max_position_embeddings=c["context"], rotary_pct=0.25,
                                 use_parallel_residual=True, initializer_range=c["std"], tie_word_embeddings=False, **common)
        config._attn_implementation = "eager"
        model = t.GPTNeoXForCausalLM(config)
    elif family == "bert":
        config = t.BertConfig(vocab_size=c["vocab"], hidden_size=c["width"], num_hidden_layers=c["layers"],
                              num_attention_heads=c["heads"], intermediate_size=c["ffn"], type_vocab_size=2,
                              max_position_embeddings=c["context"], initializer_range=c["std"],
                              hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=0)
        config._attn_implementation = "eager"
        model = t.BertForMaskedLM(config)
    else:
        raise SystemExit(f"unknown family {family!r}")
    embeddings = model.get_input_embeddings().weight
    with torch.no_grad():
        nn.init.normal_(embeddings, std=c["embed_std"])
        for name, p in model.named_parameters():
            if name.endswith(("c_proj.weight", "attention.dense.weight", "dense_4h_to_h.weight")):
                nn.init.normal_(p, std=c["writer_std"])
    return FromTransformers(model, layers_of(model))
