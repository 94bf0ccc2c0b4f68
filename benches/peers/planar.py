"""escnn (github.com/QUVA-Lab/escnn), as a peer to measure against: steerable convolutions of the plane, and a network of them.

Each side is taken as its users run it: escnn's layer in evaluation mode keeps its filter, so its forward pass is one of PyTorch's
conv2d; in training it expands the filter in every pass. A second peer is PyTorch's conv2d alone, with the filter that the weights
stand for: the same outputs without any symmetry.

    python planar.py --serve            the process that run.py drives
    python planar.py --record FOLDER    small workloads with their results, for tests/golden/planar_peer
"""

import argparse
import copy
import pathlib
import sys
import types
import warnings

# What escnn takes from lie_learn is for SO(3), which nothing here uses, and needs an older NumPy or a compiler.
for package in ("lie_learn", "lie_learn.representations", "lie_learn.representations.SO3", "lie_learn.representations.SO3.wigner_d"):
    sys.modules[package] = types.ModuleType(package)
sys.modules[package].wigner_D_matrix = None
warnings.filterwarnings("ignore", module="escnn")

import torch
from escnn import gspaces
from escnn import nn as steerable
from safetensors.torch import load_file, save_file
from torch.nn import functional

from peer import gradients, options, serve

PEER = "escnn"
TITLE = "Planar steerable layers beside escnn"
DENSE = "PyTorch's conv2d"

LAYER = {"forward": 10, "backward": 4}
SHAPES = "16 -> 16 regular fields, kernel 5, padding 2, 16 images of 28 x 28"
WORKLOADS = {
    "c8": (f"R2Conv of C8, {SHAPES}", LAYER),
    "d4": (f"R2Conv of D4, {SHAPES}", LAYER),
    "c6": (f"R2Conv of C6, {SHAPES}", LAYER),
    "c3": (f"R2Conv of C3, {SHAPES}", LAYER),
    "network": ("C8 network of `equi compare mnist-rot`, 64 images of 29 x 29", {"step": 30, "exported": 60}),
}

# name -> (fields, images, pixels of a side); of the network, fields after the first convolution.
# benches/peers/planar.rs reads these numbers from the tensors.
SIZES = {name: (16, 16, 28) for name in ("c8", "d4", "c6", "c3")} | {"network": (2, 64, 29)}
SMALL = {f"{name}_small": (2, 2, 9) for name in ("c8", "d4", "c6", "c3")} | {"network_small": (2, 4, 29)}

KERNELS = (7, 5, 5)  # of the network
CLASSES, RATE = 10, 1e-3


def kernel(name):
    return 3 if name in SMALL else 5


def space(name):
    if name.startswith("d4"):
        return gspaces.flipRot2dOnR2(4)
    return gspaces.rot2dOnR2({"c3": 3, "c6": 6}.get(name[:2], 8))


def regular(name, fields):
    return steerable.FieldType(space(name), fields * [space(name).regular_repr])


def owned(module, device, dtype):
    """escnn's modules share the bases that they have in common."""
    return copy.deepcopy(module).to(device, dtype)


def convolution(name, fields):
    kind = regular(name, fields)
    return steerable.R2Conv(kind, kind, kernel(name), padding=kernel(name) // 2)


class Network(torch.nn.Module):
    """The layout of crates/equi-train/src/model/steerable.rs."""

    def __init__(self, name, fields):
        super().__init__()
        scalars = lambda count: steerable.FieldType(space(name), count * [space(name).trivial_repr])
        wide = regular(name, 2 * fields)
        self.types = [scalars(1), regular(name, fields), wide, scalars(wide.size)]
        layers = []
        for i, kernel in enumerate(KERNELS):
            before, after = self.types[i : i + 2]
            layers += [steerable.R2Conv(before, after, kernel, padding=kernel // 2, bias=False),
                       steerable.InnerBatchNorm(after), steerable.ELU(after)]
            if i + 1 < len(KERNELS):
                layers.append(steerable.PointwiseMaxPool2D(after, 3, stride=2, padding=1))
        self.layers = steerable.SequentialModule(*layers)
        self.head = torch.nn.Linear(wide.size, CLASSES)

    def logits(self, features):
        return self.head(features.flatten(2).amax(2))

    def forward(self, images):
        return self.logits(self.layers(steerable.GeometricTensor(images, self.types[0])).tensor)

    def named(self):
        """Parameters and running statistics under the names they have in Rust."""
        convs, norms = ([m for m in self.layers if isinstance(m, kind)] for kind in (steerable.R2Conv, steerable.InnerBatchNorm))
        tensors = {"head.weight": self.head.weight, "head.bias": self.head.bias}
        for i, (conv, norm) in enumerate(zip(convs, norms)):
            norm = next(m for k, m in norm.named_children() if k.startswith("batch_norm"))
            tensors |= {f"blocks.{i}.conv.weights": conv.weights, f"blocks.{i}.norm.gamma": norm.weight,
                        f"blocks.{i}.norm.beta": norm.bias, f"blocks.{i}.norm.running_mean": norm.running_mean,
                        f"blocks.{i}.norm.running_var": norm.running_var}
        return tensors


def in_rust(name, tensor):
    """The matrix of a linear map is [inputs, outputs] there."""
    return tensor.T if name == "head.weight" else tensor


def basis(name):
    """The filters of all weights between two fields, [weights, out, in, kernel, kernel]."""
    layer = convolution(name, 1)
    with torch.no_grad():
        filters = []
        for weights in torch.eye(len(layer.weights)):
            layer.weights.copy_(weights)
            filters.append(layer.expand_parameters()[0])
    return torch.stack(filters)


def inputs(name, fields, images, side):
    torch.manual_seed(1)
    if name.startswith("network"):
        model = Network(name, fields)
        tensors = {"in.images": torch.randn(images, 1, side, side), "in.labels": torch.randint(CLASSES, (images,))}
        with torch.no_grad():
            for key, tensor in model.named().items():
                if key.endswith(("gamma", "running_var")):
                    tensor.uniform_(0.5, 1.5)
                elif key.endswith(("beta", "running_mean", "bias")):
                    tensor.normal_(0, 0.2)
                tensors[f"state.{key}"] = in_rust(key, tensor)
    else:
        layer = convolution(name, fields)
        torch.nn.init.normal_(layer.bias)
        shape = (images, layer.in_type.size, side, side)
        tensors = {"state.weights": layer.weights, "state.bias": layer.bias,
                   "in.x": torch.randn(shape), "cotangent": torch.randn(shape)}
        if name.startswith("d4"):  # escnn finds coefficients of groups with flips numerically: only its filters say what they are.
            tensors["basis"] = basis(name)
    return {k: t.detach().contiguous() for k, t in tensors.items()}


def write(name, folder):
    save_file(inputs(name, *SIZES[name]), folder / f"{name}.safetensors")


def record(folder):
    """The results are those of the inputs as they are rounded to f32."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, sizes in SMALL.items():
        tensors = inputs(name, *sizes)
        found = built(name, tensors, True, False).results()
        tensors |= {f"results.{k}": t.detach().contiguous() for k, t in found.items()}
        save_file(tensors, folder / f"{name}.safetensors")


def others(name):
    """More rows: their names, the arguments of their process, and the file they load."""
    return {} if name.startswith("network") else {DENSE: (["--dense"], name)}


def variants(_):
    return {}


class Convolution:
    """A layer, and the gradients of `sum(out * cotangent)` by its input, its weights and its bias."""

    def __init__(self, name, tensors, dtype):
        fields = len(tensors["state.bias"])
        self.layer = owned(convolution(name, fields), tensors["in.x"].device, dtype)
        with torch.no_grad():
            self.layer.weights.copy_(tensors["state.weights"])
            self.layer.bias.copy_(tensors["state.bias"])
        self.kept = copy.deepcopy(self.layer).eval()
        self.padding = kernel(name) // 2
        self.x, self.cotangent = (tensors[k].to(dtype) for k in ("in.x", "cotangent"))
        self.leaf = self.x.clone().requires_grad_()
        self.parameters = sum(p.numel() for p in self.layer.parameters())

    def forward(self):
        with torch.no_grad():
            return self.kept(steerable.GeometricTensor(self.x, self.kept.in_type)).tensor

    def backward(self):
        out = self.layer(steerable.GeometricTensor(self.leaf, self.layer.in_type)).tensor
        leaves = {"x": self.leaf, "weights": self.layer.weights, "bias": self.layer.bias}
        return gradients(out, leaves, self.cotangent)

    def results(self):
        return {"out": self.forward()} | {f"grad.{k}": g for k, g in self.backward().items()}


class Dense(Convolution):
    """The same with PyTorch's conv2d, and the gradients by its filter and the bias of each channel."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.expanded = self.layer.expand_parameters()
        self.filter, self.bias = (t.detach().clone().requires_grad_() for t in self.expanded)
        self.parameters = self.filter.numel() + self.bias.numel()

    def convolved(self, x):
        return functional.conv2d(x, self.filter, self.bias, padding=self.padding)

    def forward(self):
        with torch.no_grad():
            return self.convolved(self.x)

    def backward(self):
        leaves = {"x": self.leaf, "filter": self.filter, "bias": self.bias}
        return gradients(self.convolved(self.leaf), leaves, self.cotangent)

    def results(self):
        """By weights and bias of the layer, to compare."""
        found = self.backward()
        ends = [found["filter"], found["bias"]]
        by_weights, by_bias = torch.autograd.grad(self.expanded, [self.layer.weights, self.layer.bias], ends)
        return {"out": self.forward(), "grad.x": found["x"], "grad.weights": by_weights, "grad.bias": by_bias}


class Training:
    """Steps of Adam on the cross-entropy, and logits after export."""

    def __init__(self, name, tensors, dtype):
        fields = len(tensors["state.blocks.0.norm.gamma"])
        self.model = owned(Network(name, fields), tensors["in.images"].device, dtype)
        self.images, self.labels = tensors["in.images"].to(dtype), tensors["in.labels"]
        with torch.no_grad():
            for key, tensor in self.model.named().items():
                tensor.copy_(in_rust(key, tensors[f"state.{key}"]))
        self.exporting = copy.deepcopy(self.model).eval()
        self.plain = self.exporting.layers.export().to(tensors["in.images"].device)
        self.parameters = sum(p.numel() for p in self.model.parameters())
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=RATE)

    def exported(self):
        with torch.no_grad():
            return self.exporting.logits(self.plain(self.images))

    def evaluated(self):
        """The same without export, which makes batch norms of f32."""
        with torch.no_grad():
            return self.exporting(self.images)

    def loss(self):
        return functional.cross_entropy(self.model(self.images), self.labels)

    def step(self):
        self.optimizer.zero_grad()
        loss = self.loss()
        loss.backward()
        self.optimizer.step()
        return loss

    def results(self):
        """Of the state as it was loaded; the losses are those before each of five steps."""
        saved = copy.deepcopy((self.model, self.optimizer))
        exact = self.images.dtype == torch.float64
        tensors = {"out": self.evaluated() if exact else self.exported(), "logits": self.model(self.images)}
        named = {k: t for k, t in self.model.named().items() if t.requires_grad}
        found = {f"grad.{k}": in_rust(k, g) for k, g in gradients(self.loss(), named).items()}
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=RATE)
        losses = torch.stack([self.step().detach() for _ in range(5)])
        self.model, self.optimizer = saved
        return tensors | found | {"losses": losses}


def built(name, tensors, exact, dense):
    kind = Training if name.startswith("network") else Dense if dense else Convolution
    return kind(name, tensors, torch.float64 if exact else torch.float32)


def load(name, path, exact, options):
    return built(name, load_file(path, options.device), exact, options.dense)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dense", action="store_true", help="with PyTorch's conv2d in the place of escnn's layer")
    parser.add_argument("--record", type=pathlib.Path, metavar="FOLDER", help="write small workloads and their results here")
    arguments = options(parser)
    if arguments.record:
        record(arguments.record)
    elif arguments.serve:
        serve(load, arguments, None if arguments.dense else "escnn")
    else:
        parser.error("--serve or --record")


if __name__ == "__main__":
    main()
