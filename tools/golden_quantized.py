"""Makes src/checkpoint/testdata/quantized.safetensors: small weights as their quantizers store them, and
their values by independent implementations.

    python tools/golden_quantized.py

For each case its parts ("gptq4/w.qweight", ...) and "gptq4/expected", f32 [outputs, inputs]. GPTQ's values
are what auto_gptq's layer in plain PyTorch makes of the unit matrix, AWQ's those of autoawq's unpacking,
packed and int8 ones those of compressed-tensors, f8 PyTorch's own conversion. Scales have few bits, so that products
are exact in f16 too. Pinned versions: tools/requirements.txt.
"""

import importlib.util
import pathlib
import sys
import types

import numpy as np
import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle.forward import dequantize
from safetensors.torch import save_file

torch.set_num_threads(1)
OUT = pathlib.Path(__file__).resolve().parent.parent / "src/checkpoint/testdata/quantized.safetensors"
ROWS, COLS, GROUP = 16, 64, 32
random = np.random.default_rng(5)
tensors = {}


def module(package, path):
    """One file of a package whose __init__ wants a GPU."""
    root = next(p for p in map(pathlib.Path, sys.path) if (p / package).is_dir())
    spec = importlib.util.spec_from_file_location(path.replace("/", "_"), root / package / (path + ".py"))
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def integers(*shape):
    return torch.from_numpy(random.integers(-2**31, 2**31, shape).astype(np.int32))


def zero_points(groups, bits, low, high):
    """Packed along the outputs. 16 of 4 bits are avoided: implementations differ in what they make of it."""
    fields = random.integers(low, high, (groups, ROWS * bits // 32, 32 // bits)).astype(np.uint32)
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    return torch.from_numpy(np.bitwise_or.reduce(fields << shifts, axis=2).view(np.int32))


def scales(*shape, largest=15):
    return torch.from_numpy((random.integers(1, largest + 1, shape) / 256).astype(np.float16))


def put(case, expected, **parts):
    for name, tensor in parts.items():
        tensors[f"{case}/w.{name}"] = tensor.contiguous().clone()
    tensors[f"{case}/expected"] = expected.float().contiguous()


def gptq(case, bits, index=None, plus_one=True):
    groups = COLS // GROUP
    qweight = integers(COLS * bits // 32, ROWS)
    most = (1 << bits) - 1
    qzeros = zero_points(groups, bits, 0, most) if plus_one else zero_points(groups, bits, 1, most + 1)
    scale = scales(groups, ROWS, largest=15 if bits == 4 else 3)
    stub = types.ModuleType("transformers")
    stub.pytorch_utils = types.SimpleNamespace(Conv1D=type("Conv1D", (), {}))
    saved, sys.modules["transformers"] = sys.modules.get("transformers"), stub
    layer = module("auto_gptq", "nn_modules/qlinear/qlinear_cuda").QuantLinear(
        bits, GROUP, COLS, ROWS, False, kernel_switch_threshold=0)
    if saved:
        sys.modules["transformers"] = saved
    layer.qweight, layer.scales = qweight, scale
    # The layer adds one to each zero point; the second format stores them as they are.
    layer.qzeros = qzeros if plus_one else minus_one(qzeros, bits)
    if index is not None:
        layer.g_idx = index
    expected = layer(torch.eye(COLS, dtype=torch.float16)).T
    parts = dict(qweight=qweight, qzeros=qzeros, scales=scale)
    if index is not None:
        parts["g_idx"] = index
    put(case, expected, **parts)


def minus_one(words, bits):
    fields = torch.stack([(words.long() >> shift) - 1 & (1 << bits) - 1 for shift in range(0, 32, bits)])
    packed = sum(fields[i] << i * bits for i in range(32 // bits))
    return torch.where(packed >= 2**31, packed - 2**32, packed).to(torch.int32)


def awq():
    qweight, qzeros = integers(COLS, ROWS // 8), integers(COLS // GROUP, ROWS // 8)
    scale = scales(COLS // GROUP, ROWS)
    unpack = module("awq", "utils/packing_utils").dequantize_gemm
    put("awq", unpack(qweight, qzeros, scale, 4, GROUP).T, qweight=qweight, qzeros=qzeros, scales=scale)


def compressed():
    size = torch.tensor([ROWS, COLS])
    for case, bits, zero in (("packed4", 4, False), ("packed8", 8, False), ("packed4_zero", 4, True)):
        low, high = -(1 << bits - 1), 1 << bits - 1
        codes = torch.from_numpy(random.integers(low, high, (ROWS, COLS)).astype(np.int8))
        zeros = torch.from_numpy(random.integers(low, high, (ROWS, COLS // GROUP)).astype(np.int8))
        scale = scales(ROWS, COLS // GROUP)
        args = QuantizationArgs(num_bits=bits, strategy="group", group_size=GROUP, symmetric=not zero)
        expected = dequantize(codes, scale.float(), zeros if zero else None, args=args)
        parts = dict(weight_packed=pack_to_int32(codes, bits), weight_scale=scale, weight_shape=size)
        if zero:
            parts["weight_zero_point"] = pack_to_int32(zeros, bits, packed_dim=0)
        put(case, expected, **parts)
    codes = torch.from_numpy(random.integers(-128, 128, (ROWS, COLS)).astype(np.int8))
    scale = scales(ROWS, 1).bfloat16()
    args = QuantizationArgs(num_bits=8, strategy="channel")
    put("int8", dequantize(codes, scale.float(), args=args), weight=codes, weight_scale=scale)
    zeros = torch.from_numpy(random.integers(-128, 128, (ROWS, 1)).astype(np.int8))
    args = QuantizationArgs(num_bits=8, strategy="channel", symmetric=False)
    put("int8_zero", dequantize(codes, scale.float(), zeros, args=args), weight=codes, weight_scale=scale,
        weight_zero_point=zeros)


def eight_bit_floats():
    for case, dtype in (("e4m3", torch.float8_e4m3fn), ("e5m2", torch.float8_e5m2)):
        codes = torch.arange(256, dtype=torch.uint8).view(dtype)  # every code, no scale
        put(case, codes.float().view(ROWS, ROWS), weight=codes.view(ROWS, ROWS))
    finite = torch.from_numpy(random.normal(size=(ROWS, COLS))).to(torch.float8_e4m3fn)
    one = torch.tensor(0.25)
    put("f8_tensor", finite.float() * one, weight=finite, weight_scale=one)
    rows = scales(ROWS, 1).float()
    put("f8_rows", finite.float() * rows, weight=finite, weight_scale=rows)
    # Blocks of 10 rows and 24 columns, the last ones smaller.
    blocks = scales(2, 3).float()
    spread = blocks.repeat_interleave(10, 0)[:ROWS].repeat_interleave(24, 1)[:, :COLS]
    put("f8_blocks", finite.float() * spread, weight=finite, weight_scale_inv=blocks)


def main():
    gptq("gptq4", 4)
    gptq("gptq8", 8)
    gptq("gptq4_order", 4, torch.from_numpy(random.permutation(COLS) // GROUP).to(torch.int32))
    gptq("gptq4_v2", 4, plus_one=False)
    awq()
    compressed()
    eight_bit_floats()
    save_file(tensors, OUT)


if __name__ == "__main__":
    main()
