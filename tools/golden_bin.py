"""Makes src/checkpoint/testdata/torch.bin: a state dict as torch itself writes it.

    python tools/golden_bin.py

Values count up from 0, so that the test knows them. Pinned versions: tools/requirements.txt.
"""

import collections
import pathlib

import torch

OUT = pathlib.Path(__file__).resolve().parent.parent / "src/checkpoint/testdata"


def counting(*shape, dtype=torch.float32):
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float32).reshape(shape).to(dtype)


def main():
    state = torch.nn.Linear(3, 2).state_dict()  # brings _metadata along, as every module's does
    state["weight"] = counting(2, 3)
    state["bias"] = torch.nn.Parameter(counting(2, dtype=torch.bfloat16))
    state["half"] = counting(4, 5, dtype=torch.float16)
    state["slice"] = state["half"][1:3]
    state["transposed"] = state["weight"].t()
    state["column"] = state["half"][:, 2]
    state["scalar"] = torch.tensor(7)
    state["mask"] = torch.tensor([True, False])
    state["empty"] = torch.empty(0, 3)
    OUT.mkdir(exist_ok=True)
    torch.save(state, OUT / "torch.bin")
    torch.save(collections.OrderedDict(state), OUT / "torch_protocol4.bin", pickle_protocol=4)


if __name__ == "__main__":
    main()
