"""se3-transformer-pytorch (github.com/lucidrains/se3-transformer-pytorch), as a peer to measure against.

The package itself runs, with its own initialisation. A file of a workload holds the weights (`state.*`), the inputs (`in.*`) and the
change of basis `Q` of every pair of degrees (`basis.Q.{J}.{in}.{out}`): its sign comes from a singular value decomposition, so a
state dict alone does not say what function it is.

    python se3_transformer.py --serve        the process that run.py drives
"""

import argparse
import os
import pathlib
import sys

# Where the package keeps the changes of basis: all processes must read the same. Read when it is imported.
os.environ.setdefault("CACHE_PATH", str(pathlib.Path(sys.prefix) / "se3_transformer_basis"))

import torch
from safetensors.torch import load_file, save_file
from se3_transformer_pytorch import SE3Transformer
from se3_transformer_pytorch.basis import basis_transformation_Q_J

from peer import gradients, serve

PEER = "se3-transformer-pytorch"
TITLE = "SE(3)-Transformer beside se3-transformer-pytorch"

WORKLOADS = {
    "small": ("12 points, 5 neighbours, 8 channels, 2 heads, 3 degrees, 2 layers: every gradient against f64", {}),
    "points32": ("32 points, all of them neighbours, 64 channels, 8 heads, 2 degrees, 4 layers", {"forward": 1, "backward": 1}),
    "points128": ("128 points, 12 neighbours, 32 channels, 4 heads, 3 degrees, 2 layers", {"forward": 1, "backward": 1}),
}

# name -> (points, constructor). benches/peers/se3_transformer.rs says the same in Rust.
NETWORKS = {
    "small": (12, {"dim": 8, "heads": 2, "dim_head": 4, "depth": 2, "num_degrees": 3, "output_degrees": 2, "num_neighbors": 5}),
    "points32": (32, {"dim": 64, "heads": 8, "depth": 4, "num_degrees": 2, "valid_radius": 10}),
    "points128": (128, {"dim": 32, "heads": 4, "depth": 2, "num_degrees": 3, "num_neighbors": 12}),
}


def write(name, folder):
    torch.manual_seed(1)
    points, options = NETWORKS[name]
    network = SE3Transformer(**options)
    degrees = range(options["num_degrees"])
    tensors = {f"state.{k}": t for k, t in network.state_dict().items()}
    tensors |= {"in.feats": torch.randn(points, options["dim"]), "in.coors": torch.randn(points, 3)}
    for inputs in degrees:
        for outputs in degrees:
            for j in range(abs(inputs - outputs), inputs + outputs + 1):
                tensors[f"basis.Q.{j}.{inputs}.{outputs}"] = basis_transformation_Q_J(j, inputs, outputs)
    save_file({k: t.contiguous() for k, t in tensors.items()}, folder / f"{name}.safetensors")


def variants(_):
    return {}


class Workload:
    """Forward passes, and the gradients of the mean square of the outputs, of all parameters.

    `exact` gives the outputs in f64. Gradients too where nothing is timed; else their norms in f32: in f64 they would take 17 GB.
    """

    def __init__(self, name, path, exact):
        tensors = load_file(path)
        points, options = NETWORKS[name]
        self.network = SE3Transformer(**options)
        self.network.load_state_dict({k[6:]: t for k, t in tensors.items() if k.startswith("state.")})
        self.inputs = [tensors[f"in.{k}"].unsqueeze(0) for k in ("feats", "coors")]
        self.small, self.exact = not WORKLOADS[name][1], exact
        self.parameters = sum(p.numel() for p in self.network.parameters())

    def double(self):
        self.network.double()
        self.inputs = [t.double() for t in self.inputs]

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
        named = dict(self.network.named_parameters())
        if self.exact and self.small:
            self.double()
        found = gradients(self.loss(), named)
        if self.small:
            tensors = {f"grad.{k}": g for k, g in found.items()}
        else:
            tensors = {"grad_norms": torch.stack([found[k].norm() for k in sorted(found)])}
        del found
        if self.exact:
            self.double()
        output = self.forward()
        return tensors | {"out": output, "loss": output.square().mean()}


def load(name, path, exact, _):
    return Workload(name, path, exact)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", action="store_true", required=True, help="answer the requests of run.py on standard input")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    serve(load, arguments)


if __name__ == "__main__":
    main()
