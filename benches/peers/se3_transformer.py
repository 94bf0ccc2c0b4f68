"""se3-transformer-pytorch (github.com/lucidrains/se3-transformer-pytorch), as a peer to measure against.

The package itself runs, with its own initialisation. A file of a workload holds the weights (`state.*`), the inputs (`in.*`) and the
change of basis `Q` of every pair of degrees (`basis.Q.{J}.{in}.{out}`): its sign comes from a singular value decomposition, so a
state dict alone does not say what function it is.

    python se3_transformer.py --serve            the process that run.py drives
    python se3_transformer.py --record FOLDER    a small network with its results, for tests/golden/se3_peer
"""

import argparse
import functools
import os
import pathlib
import sys

# Where the package keeps the changes of basis: all processes must read the same. Read when it is imported.
os.environ.setdefault("CACHE_PATH", str(pathlib.Path(sys.prefix) / "se3_transformer_basis"))

import torch
from safetensors.torch import load_file, save_file
from se3_transformer_pytorch import SE3Transformer
from se3_transformer_pytorch.basis import basis_transformation_Q_J
from se3_transformer_pytorch.se3_transformer_pytorch import ConvSE3, RadialFunc
from torch.utils.checkpoint import checkpoint

from peer import gradients, options, serve

PEER = "se3-transformer-pytorch"
TITLE = "SE(3)-Transformer beside se3-transformer-pytorch"

WORKLOADS = {
    "small": ("12 points, 5 neighbours, 8 channels, 2 heads, 3 degrees, 2 layers: every gradient against f64", {}),
    "points32": ("32 points, all of them neighbours, 64 channels, 8 heads, 2 degrees, 4 layers", {"forward": 1, "backward": 1}),
    "points128": ("128 points, 12 neighbours, 32 channels, 4 heads, 3 degrees, 2 layers", {"forward": 1, "backward": 1}),
    "points1000": ("1,000 points, 32 neighbours, 32 channels, 4 heads, 3 degrees, 2 layers", {"forward": 1, "step": 1}),
}

# A turn of the peer takes half a minute and more.
ROUNDS = 3

# Out of reach of the peer, which makes the kernel of every edge: for the keys of one layer 32,000 of 864 x 288, 32 GB.
ALONE = ["points1000"]

# name -> (points, constructor). benches/peers/se3_transformer.rs says the same in Rust.
NETWORKS = {
    "tiny": (6, {"dim": 4, "heads": 2, "dim_head": 2, "depth": 1, "num_degrees": 3, "output_degrees": 2, "num_neighbors": 4}),
    "small": (12, {"dim": 8, "heads": 2, "dim_head": 4, "depth": 2, "num_degrees": 3, "output_degrees": 2, "num_neighbors": 5}),
    "points32": (32, {"dim": 64, "heads": 8, "depth": 4, "num_degrees": 2, "valid_radius": 10}),
    "points128": (128, {"dim": 32, "heads": 4, "depth": 2, "num_degrees": 3, "num_neighbors": 12}),
    "points1000": (1000, {"dim": 32, "heads": 4, "depth": 2, "num_degrees": 3, "num_neighbors": 32}),
}

# Networks whose gradients are compared number by number.
SMALL = {"tiny", "small"}


def built(name):
    # The width of the radial networks is no option of the package.
    RadialFunc.__init__.__defaults__ = (None, 8 if name == "tiny" else 128)
    return SE3Transformer(**NETWORKS[name][1])


def inputs(name):
    torch.manual_seed(1)
    points, options = NETWORKS[name]
    network = built(name)
    degrees = range(options["num_degrees"])
    tensors = {f"state.{k}": t for k, t in network.state_dict().items()}
    tensors |= {"in.feats": torch.randn(points, options["dim"]), "in.coors": torch.randn(points, 3)}
    for a in degrees:
        for b in degrees:
            tensors |= {f"basis.Q.{j}.{a}.{b}": basis_transformation_Q_J(j, a, b) for j in range(abs(a - b), a + b + 1)}
    return {k: t.detach().contiguous() for k, t in tensors.items()}


def write(name, folder):
    save_file(inputs(name), folder / f"{name}.safetensors")


def record(folder):
    folder.mkdir(parents=True, exist_ok=True)
    tensors = inputs("tiny")
    found = Workload("tiny", tensors, True).results()
    tensors |= {f"results.{k}": t.detach().contiguous() for k, t in found.items()}
    save_file(tensors, folder / "tiny.safetensors")


def variants(_):
    return {}


class Workload:
    """Forward passes, and the gradients of the mean square of the outputs, of all parameters; of large networks, their norms.

    `exact` computes in f64, and convolutions again in the backward pass: to keep what they need there would take 17 GB.
    """

    def __init__(self, name, tensors, exact):
        self.network = built(name)
        self.network.load_state_dict({k[6:]: t for k, t in tensors.items() if k.startswith("state.")})
        self.inputs = [tensors[f"in.{k}"].unsqueeze(0) for k in ("feats", "coors")]
        self.network.to(self.inputs[0].device)
        self.small = name in SMALL
        self.parameters = sum(p.numel() for p in self.network.parameters())
        if exact:
            self.network.double()
            self.inputs = [t.double() for t in self.inputs]
            for convolution in (m for m in self.network.modules() if isinstance(m, ConvSE3)):
                convolution.forward = functools.partial(checkpoint, convolution.forward, use_reentrant=False)

    def output(self):
        """[points, channels of all degrees]"""
        found = self.network(*self.inputs)
        return torch.cat([t.flatten(2) for t in found.values()], 2)[0] if isinstance(found, dict) else found[0]

    def loss(self):
        return self.output().square().mean()

    def forward(self):
        with torch.no_grad():
            return self.output()

    def backward(self):
        self.network.zero_grad()
        self.loss().backward()

    def results(self):
        found = gradients(self.loss(), dict(self.network.named_parameters()))
        if self.small:
            tensors = {f"grad.{k}": g for k, g in found.items()}
        else:
            # A sum of a million squares in f32 is 1e-4 off.
            tensors = {"grad_norms": torch.stack([found[k].double().norm() for k in sorted(found)])}
        output = self.forward()
        return tensors | {"out": output, "loss": output.square().mean()}


def load(name, path, exact, options):
    return Workload(name, load_file(path, options.device), exact)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=pathlib.Path, metavar="FOLDER", help="write a small network and its results here")
    arguments = options(parser)
    if arguments.record:
        record(arguments.record)
    elif arguments.serve:
        serve(load, arguments, "se3-transformer-pytorch")
    else:
        parser.error("--serve or --record")


if __name__ == "__main__":
    main()
