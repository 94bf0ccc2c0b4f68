"""e3nn (github.com/e3nn/e3nn), as a peer to measure against: spherical harmonics and tensor products. With `--variants` of run.py also
sphericart (github.com/lab-cosmo/sphericart) for the harmonics: its NumPy package, whose kernels are those of its PyTorch package.

    python o3.py --serve            the process that run.py drives
    python o3.py --serve --sphericart
    python o3.py --record FOLDER    small workloads with their results, for tests/golden/o3_peer
"""

import argparse
import pathlib

import numpy
import sphericart
import torch
from e3nn import o3
from safetensors.torch import load_file, save_file

from peer import gradients, options, serve

PEER = "e3nn"
TITLE = "Spherical harmonics and tensor products beside e3nn"

ACTIONS = {"forward": 60, "backward": 30}
POINTS, EDGES, CONNECTED_EDGES = 100_000, 2_000, 5_000

WORKLOADS = {
    "harmonics3": (f"spherical harmonics of degrees 0 to 3 at {POINTS:,} points", ACTIONS),
    "harmonics6": (f"spherical harmonics of degrees 0 to 6 at {POINTS:,} points", ACTIONS),
    "uvu64": (f"uvu, 64x(0e+1o+2e) with 0e+1o+2e, {EDGES:,} edges with a weight for each path and channel", ACTIONS),
    "uvu128": (f"uvu, 128x(0e+1o+2e) with 0e+1o+2e, {EDGES:,} edges with a weight for each path and channel", ACTIONS),
    "connected32": (f"fully connected, 32x(0e+1o+2e) with 0e+1o+2e, {CONNECTED_EDGES:,} edges, shared weights", ACTIONS),
}

DEGREES = "0e+1o+2e"


class Harmonics(torch.nn.Module):
    """Of unit vectors, component normalisation."""

    def __init__(self, degree, points):
        super().__init__()
        self.call = o3.SphericalHarmonics(list(range(degree + 1)), normalize=True, normalization="component")
        self.shapes = {"points": (points, 3)}
        self.outputs = self.call.irreps_out.dim

    def forward(self, points):
        return self.call(points)


def channels(count):
    return o3.Irreps([(count, irrep) for _, irrep in o3.Irreps(DEGREES)])


class Uvu(torch.nn.Module):
    """Every path into 0e, 1o or 2e, as in NequIP: a path has its own outputs, sorted."""

    def __init__(self, count, edges):
        super().__init__()
        first, second = channels(count), o3.Irreps(DEGREES)
        found = [(a, b, irrep) for a, (_, x) in enumerate(first) for b, (_, y) in enumerate(second) for irrep in x * y
                 if irrep in second]
        outputs, permutation, _ = o3.Irreps([(count, irrep) for _, _, irrep in found]).sort()
        paths = [(a, b, permutation[c], "uvu", True) for c, (a, b, _) in enumerate(found)]
        self.call = o3.TensorProduct(first, second, outputs, sorted(paths, key=lambda path: path[2]), shared_weights=False,
                                     internal_weights=False)
        self.shapes = {"first": (edges, first.dim), "second": (edges, second.dim), "weights": (edges, self.call.weight_numel)}
        self.outputs = outputs.dim

    def forward(self, first, second, weights):
        return self.call(first, second, weights)


class Connected(torch.nn.Module):
    """Every path, the weights shared by all edges."""

    def __init__(self, count, edges):
        super().__init__()
        first, second = channels(count), o3.Irreps(DEGREES)
        self.call = o3.FullyConnectedTensorProduct(first, second, first, shared_weights=True, internal_weights=False)
        self.shapes = {"first": (edges, first.dim), "second": (edges, second.dim),
                       "weights": (self.call.weight_numel,)}
        self.outputs = first.dim

    def forward(self, first, second, weights):
        return self.call(first, second, weights)


# name -> (layer, degrees or channels, rows). benches/peers/o3.rs says the same in Rust.
LAYERS = {
    "harmonics3": (Harmonics, 3, POINTS),
    "harmonics6": (Harmonics, 6, POINTS),
    "uvu64": (Uvu, 64, EDGES),
    "uvu128": (Uvu, 128, EDGES),
    "connected32": (Connected, 32, CONNECTED_EDGES),
}
SMALL = {
    "harmonics3": (Harmonics, 3, 5),
    "harmonics6": (Harmonics, 6, 5),
    "uvu2": (Uvu, 2, 3),
    "connected2": (Connected, 2, 3),
}


def built(kind, *options):
    return kind(*options)


def inputs(layer):
    tensors = {f"in.{k}": torch.randn(shape) for k, shape in layer.shapes.items()}
    rows = len(next(iter(tensors.values())))
    return tensors | {"cotangent": torch.randn(rows, layer.outputs)}


def write(name, folder):
    torch.manual_seed(1)
    save_file(inputs(built(*LAYERS[name])), folder / f"{name}.safetensors")


def record(folder):
    """The results are those of the inputs as they are rounded to f32."""
    torch.manual_seed(1)
    folder.mkdir(parents=True, exist_ok=True)
    for name, layer in SMALL.items():
        tensors = inputs(built(*layer))
        found = Workload(layer, tensors, True).results()
        tensors |= {f"results.{k}": t.detach() for k, t in found.items()}
        save_file({k: t.contiguous() for k, t in tensors.items()}, folder / f"{name}.safetensors")


def variants(workload):
    return {"sphericart": (["--sphericart"], workload)} if workload.startswith("harmonics") else {}


class Sphericart:
    """The harmonics of sphericart, whose polar axis is z and whose squares integrate to one: what is timed gives these."""

    SCALE = (4 * numpy.pi) ** 0.5

    def __init__(self, layer, tensors):
        _, degree, _ = layer
        points = tensors["in.points"].numpy()
        self.points = numpy.ascontiguousarray(points[:, [2, 0, 1]])
        self.cotangent = tensors["cotangent"].numpy()
        self.call = sphericart.SphericalHarmonics(degree)
        self.parameters = 0

    def forward(self):
        return self.call.compute(self.points)

    def backward(self):
        _, slopes = self.call.compute_with_gradients(self.points)
        return numpy.einsum("nac,nc->na", slopes, self.cotangent)

    def results(self):
        gradient = self.backward()[:, [1, 2, 0]] * self.SCALE
        return {"out": torch.from_numpy(self.forward() * self.SCALE), "grad.points": torch.from_numpy(gradient)}


class Workload:
    """A layer, and the gradients of `sum(out * cotangent)` of all inputs; in f64 if `exact`."""

    def __init__(self, layer, tensors, exact):
        dtype = torch.float64 if exact else torch.float32
        torch.set_default_dtype(dtype)  # That of e3nn's constants.
        tensors = {k: t.to(dtype) for k, t in tensors.items()}
        self.layer = built(*layer).to(tensors["cotangent"].device)
        torch.set_default_dtype(torch.float32)
        self.cotangent = tensors.pop("cotangent")
        self.inputs = {k[3:]: t for k, t in tensors.items()}
        self.leaves = {k: t.clone().requires_grad_() for k, t in self.inputs.items()}
        self.parameters = 0
        for _ in range(3):  # TorchScript specialises in its first calls.
            self.forward()
            self.backward()

    def forward(self):
        with torch.no_grad():
            return self.layer(**self.inputs)

    def backward(self):
        return gradients(self.layer(**self.leaves), self.leaves, self.cotangent)

    def results(self):
        return {"out": self.forward()} | {f"grad.{k}": g for k, g in self.backward().items()}


def load(name, path, exact, options):
    tensors = load_file(path, options.device)
    return Sphericart(LAYERS[name], tensors) if options.sphericart else Workload(LAYERS[name], tensors, exact)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=pathlib.Path, metavar="FOLDER", help="write small workloads and their results here")
    parser.add_argument("--sphericart", action="store_true", help="the harmonics of sphericart")
    arguments = options(parser)
    if arguments.record:
        record(arguments.record)
    elif arguments.serve:
        serve(load, arguments, "e3nn")
    else:
        parser.error("--serve or --record")


if __name__ == "__main__":
    main()
