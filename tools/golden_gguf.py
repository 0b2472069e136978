"""Makes src/checkpoint/testdata/gguf_blocks.safetensors: random blocks of every format, and their values.

    python tools/golden_gguf.py

Each format has its bytes ("q4_k", u8) and what the gguf package's own dequantization makes of them
("q4_k.values", f32). Pinned versions: tools/requirements.txt.
"""

import pathlib

import gguf
import numpy as np
from gguf.quants import dequantize
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).resolve().parent.parent / "src/checkpoint/testdata/gguf_blocks.safetensors"
# Where the f16 scales of a block stand, in bytes.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0],
}


def main():
    random = np.random.default_rng(20)
    tensors = {}
    for name, places in SCALES.items():
        kind = gguf.GGMLQuantizationType[name]
        values, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 256, (2, size), dtype=np.uint8)
        for place in places:  # random bytes may be infinite
            scale = random.normal(size=2).astype(np.float16)
            blocks[:, place:place + 2] = scale.view(np.uint8).reshape(2, 2)
        tensors[name.lower()] = blocks
        tensors[name.lower() + ".values"] = dequantize(blocks, kind).astype(np.float32)
    OUT.parent.mkdir(exist_ok=True)
    save_file(tensors, OUT)


if __name__ == "__main__":
    main()
