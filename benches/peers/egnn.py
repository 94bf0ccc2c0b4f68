"""EGNN in PyTorch, as a peer to measure against.

    m_ij = phi_e(h_i, h_j, |x_i - x_j|^2, a_ij)                     messages, times sigmoid(phi_a(m_ij)) with attention
    x_i' = x_i + mean_j (x_i - x_j) phi_x(m_ij) + phi_v(h_i) v_i    coordinates (phi_v: the velocity form)
    h_i' = h_i + phi_h(h_i, sum_j m_ij)                             features

after Satorras, Hoogeboom, Welling, "E(n) Equivariant Graph Neural Networks", ICML 2021. The operations are those of the
authors' code (github.com/vgsatorras/egnn), so that the cost is the cost its users pay: edge inputs are concatenated, segments
are summed with scatter_add into an expanded index, a mean counts its ones the same way. Parameters have its names.

    python egnn.py --check                     outputs and gradients against tests/golden/egnn
    python egnn.py --check --official CLONE    and against a clone of the authors' code, the QM9 form included
    python egnn.py --serve                     the process that run.py drives (see run.py)
"""

import argparse
import copy
import json
import pathlib
import sys

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from peer import difference, gradients, options, serve

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "egnn"
GOLDEN_QM9 = ROOT / "tests" / "golden" / "egnn_qm9"


def segment_sum(values, segments, count):
    """[rows, C] -> [count, C]."""
    index = segments.unsqueeze(-1).expand(-1, values.size(1))
    return values.new_zeros(count, values.size(1)).scatter_add_(0, index, values)


def segment_mean(values, segments, count):
    """[rows, C] -> [count, C]; zero for an empty segment."""
    rows = segment_sum(torch.ones_like(values), segments, count)
    return segment_sum(values, segments, count) / rows.clamp(min=1)


def mlp(inputs, hidden, outputs, *last):
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs), *last)


class Layer(nn.Module):
    """One layer. `form` is 'clean', 'velocity' or 'invariant', `normalise` None, 'detached' or 'shifted'."""

    def __init__(self, features, hidden, edge_features, form, residual, attention, normalise, tanh, coordinates):
        super().__init__()
        self.form, self.residual, self.normalise, self.coordinates = form, residual, normalise, coordinates
        self.edge_mlp = mlp(2 * features + 1 + edge_features, hidden, hidden, nn.SiLU())
        self.node_mlp = mlp(features + hidden, hidden, features)
        if form != "invariant":
            self.coord_mlp = mlp(hidden, hidden, 1, *([nn.Tanh()] if tanh else []))
            self.coord_mlp[2] = nn.Linear(hidden, 1, bias=False)
        if form == "velocity":
            self.coord_mlp_vel = mlp(features, hidden, 1)
        self.att_mlp = nn.Sequential(nn.Linear(hidden, 1), nn.Sigmoid()) if attention else None

    def forward(self, h, x, edges, edge_attr=None, v=None, edge_mask=None):
        row, col = edges
        difference = x[row] - x[col]
        radial = (difference**2).sum(1, keepdim=True)
        if self.normalise == "detached":
            difference = difference / (radial.sqrt().detach() + 1e-8)
        elif self.normalise == "shifted":
            difference = difference / (radial.sqrt() + 1)

        messages = self.edge_mlp(torch.cat([h[row], h[col], radial] + ([] if edge_attr is None else [edge_attr]), 1))
        if self.att_mlp is not None:
            messages = messages * self.att_mlp(messages)
        if edge_mask is not None:
            messages = messages * edge_mask

        if self.form != "invariant":
            moves = difference * self.coord_mlp(messages)
            if self.form == "velocity":
                moves = moves.clamp(-100, 100)
            x = x + (segment_sum if self.coordinates == "sum" else segment_mean)(moves, row, len(x))
        if self.form == "velocity":
            x = x + self.coord_mlp_vel(h) * v

        update = self.node_mlp(torch.cat([h, segment_sum(messages, row, len(h))], 1))
        return (h + update if self.residual else update), x


class Egnn(nn.Module):
    """The three published networks: 'clean' gives (h, x), 'velocity' gives x, 'invariant' one number a graph."""

    def __init__(self, inputs, hidden, layers, form, outputs=1, edge_features=0, residual=True, attention=False,
                 normalise=None, tanh=False, coordinates="mean"):
        super().__init__()
        self.form, self.layers = form, layers
        if form == "clean":
            self.embedding_in = nn.Linear(inputs, hidden)
            self.embedding_out = nn.Linear(hidden, outputs)
        else:
            self.embedding = nn.Linear(inputs, hidden)
        for i in range(layers):
            layer = Layer(hidden, hidden, edge_features, form, residual, attention, normalise, tanh, coordinates)
            self.add_module(f"gcl_{i}", layer)
        if form == "invariant":
            self.node_dec = mlp(hidden, hidden, hidden)
            self.graph_dec = mlp(hidden, hidden, 1)

    def forward(self, h, x, edges, edge_attr=None, v=None, node_mask=None, edge_mask=None, nodes=None):
        h = (self.embedding_in if self.form == "clean" else self.embedding)(h)
        for i in range(self.layers):
            h, x = getattr(self, f"gcl_{i}")(h, x, edges, edge_attr, v, edge_mask)
        if self.form == "clean":
            return self.embedding_out(h), x
        if self.form == "velocity":
            return x
        h = self.node_dec(h)
        if node_mask is not None:
            h = h * node_mask
        return self.graph_dec(h.view(-1, nodes, h.size(1)).sum(1)).squeeze(1)


# ---------------------------------------------------------------------------------------------------------------- check


def golden_model(case):
    """The model of a golden case, from the configuration in the manifest."""
    config, name = case["config"], case["name"]
    edge_features = config.get("in_edge_nf", config.get("edges_in_d", 0))
    attention, tanh = config.get("attention", False), config.get("tanh", False)
    residual = config.get("recurrent", False) if name.startswith("vel_") else config.get("residual", True)
    normalise = "detached" if config.get("normalize") else "shifted" if config.get("norm_diff") else None
    if name.startswith("layer_"):
        return Layer(config["input_nf"], config["hidden_nf"], edge_features, "clean", residual, attention, normalise, tanh,
                     config["coords_agg"])
    form = "velocity" if name.startswith("vel_") else "clean"
    return Egnn(config["in_node_nf"], config["hidden_nf"], config["n_layers"], form, config.get("out_node_nf", 1),
                edge_features, residual, attention, normalise, tanh)


def check_golden():
    """Every case of tests/golden/egnn: outputs, loss, and all gradients."""
    manifest = json.loads((GOLDEN / "manifest.json").read_text())
    cases = [c for c in manifest["cases"] if f"{c['name']}.state.safetensors" in c["files"]]
    if not cases:
        raise SystemExit(f"{GOLDEN}/manifest.json lists no model")
    worst = 0.0
    for case in cases:
        name = case["name"]
        state, io = load_file(GOLDEN / f"{name}.state.safetensors"), load_file(GOLDEN / f"{name}.io.safetensors")
        single = case["config"]["dtype"] == "float32"
        model = golden_model(case).to(torch.float32 if single else torch.float64)
        model.load_state_dict(state)
        inputs = {k[3:]: t for k, t in io.items() if k.startswith("in.") and k != "in.edge_index"}
        names = [k[8:] for k in io if k.startswith("grad.in.")]
        for k in names:
            inputs[k].requires_grad_()
        result = model(inputs["h"], inputs["x"], io["in.edge_index"], inputs.get("edge_attr"), inputs.get("vel"))
        h, x = result if isinstance(result, tuple) else (None, result)
        gaps = {k: difference(t, io[k]) for k, t in (("out.h", h), ("out.x", x)) if k in io}
        if "loss" in io:
            loss = (x**2).sum() + (0 if h is None else h.sum())
            gaps["loss"] = difference(loss, io["loss"])
            leaves = {f"grad.in.{k}": inputs[k] for k in names}
            leaves |= {f"grad.param.{k}": p for k, p in model.named_parameters()}
            missing = {k for k in io if k.startswith("grad.")} ^ set(leaves)
            if missing:
                raise SystemExit(f"{name}: gradients on one side only: {sorted(missing)}")
            gaps |= {k: difference(g, io[k]) for k, g in gradients(loss, leaves).items()}
        tensor, gap = max(gaps.items(), key=lambda item: item[1])
        # f32: sums of at most 32 terms in another order, four layers deep.
        limit = 1e-5 if single else 1e-10
        print(f"{name:26} {len(gaps):3} tensors, largest difference {gap:.1e} ({tensor})")
        if not gap <= limit:
            raise SystemExit(f"{name}: {tensor} differs by {gap:.1e}, more than {limit:.0e}")
        worst = worst if single else max(worst, gap)
    print(f"{len(cases)} cases of tests/golden/egnn agree; largest f64 difference {worst:.1e}")


def everything(model, call, leaves):
    """Output, the loss sum(out^2), and its gradients."""
    out = call(model)
    named = leaves | {f"param.{k}": p for k, p in model.named_parameters()}
    loss = (out**2).sum()
    return {"out": out, "loss": loss} | {f"grad.{k}": g for k, g in gradients(loss, named).items()}


def compare(name, ours, theirs, limit=1e-10):
    gaps = {k: difference(ours[k], theirs[k]) for k in theirs}
    tensor, gap = max(gaps.items(), key=lambda item: item[1])
    print(f"{name:26} {len(gaps):3} tensors, largest difference {gap:.1e} ({tensor})")
    if not gap <= limit:
        raise SystemExit(f"{name}: {tensor} differs by {gap:.1e}")


def check_qm9():
    """The QM9 form on padded graphs."""
    state, io = load_file(GOLDEN_QM9 / "masked.state.safetensors"), load_file(GOLDEN_QM9 / "masked.io.safetensors")
    hidden, inputs = state["embedding.weight"].shape
    layers = len({k.split(".")[0] for k in state if k.startswith("gcl_")})
    model = Egnn(inputs, hidden, layers, "invariant", attention=True).double()
    model.load_state_dict(state)
    h, x = io["in.h"].requires_grad_(), io["in.x"].requires_grad_()
    masks = {k: io[f"in.{k}"] for k in ("node_mask", "edge_mask")}
    # The graphs follow one another, padded to the same number of nodes.
    nodes = len(h) // len(io["out"])
    call = lambda m: m(h, x, io["in.edge_index"], nodes=nodes, **masks)
    theirs = {k: t for k, t in io.items() if not k.startswith("in.")}
    compare("egnn_qm9/masked", everything(model, call, {"in.h": h, "in.x": x}), theirs)


def redraw(model):
    """Weights N(0, 1 / fan in) and biases N(0, 0.04): no layer is hidden by a small initialisation."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.normal_().mul_(p.size(1) ** -0.5 if p.dim() == 2 else 0.2)


def check_official(clone, record=None):
    """The QM9 form on padded graphs of 5, 3 and 6 atoms, and the velocity form, beside the authors' modules in f64."""
    sys.path.insert(0, str(clone))
    from n_body_system.model import EGNN_vel
    from qm9.models import EGNN as Qm9

    torch.manual_seed(7)
    torch.set_default_dtype(torch.float64)
    graphs, nodes, features, hidden, layers = 3, 6, 15, 10, 3
    official = Qm9(features, 0, hidden, n_layers=layers, attention=True, node_attr=0)
    redraw(official)
    ours = Egnn(features, hidden, layers, "invariant", attention=True)
    ours.load_state_dict(official.state_dict())
    atoms = torch.arange(nodes) < torch.tensor([[5], [3], [6]])
    node_mask = atoms.reshape(-1, 1).double()
    edge_mask = ((atoms.unsqueeze(1) & atoms.unsqueeze(2)) & ~torch.eye(nodes, dtype=torch.bool)).reshape(-1, 1).double()
    row, col = [], []
    for graph in range(graphs):
        for i in range(nodes):
            row += [graph * nodes + i] * nodes
            col += [graph * nodes + j for j in range(nodes)]
    edges = torch.tensor([row, col])
    h = (torch.randn(graphs * nodes, features) * node_mask).requires_grad_()
    x = (torch.randn(graphs * nodes, 3) * node_mask).requires_grad_()


    leaves = {"in.h": h, "in.x": x}
    theirs = everything(official, lambda m: m(h, x, edges, None, node_mask, edge_mask, nodes), leaves)
    masks = {"node_mask": node_mask, "edge_mask": edge_mask, "nodes": nodes}
    compare("qm9, authors' code", everything(ours, lambda m: m(h, x, edges, **masks), leaves), theirs)
    if record:
        io = {"in.h": h, "in.x": x, "in.edge_index": edges, "in.node_mask": node_mask, "in.edge_mask": edge_mask} | theirs
        record.mkdir(parents=True, exist_ok=True)
        save_file({k: t.detach().clone() for k, t in official.state_dict().items()}, record / "masked.state.safetensors")
        save_file({k: t.detach().clone().contiguous() for k, t in io.items()}, record / "masked.io.safetensors")

    official = EGNN_vel(1, 2, hidden, n_layers=layers, recurrent=True)
    redraw(official)
    ours = Egnn(1, hidden, layers, "velocity", edge_features=2)
    ours.load_state_dict(official.state_dict())
    keep = [i != j for i, j in zip(row, col)]
    edges = edges[:, keep]
    h, x, v = torch.randn(graphs * nodes, 1), torch.randn(graphs * nodes, 3), torch.randn(graphs * nodes, 3)
    attr = torch.randn(edges.size(1), 2)
    theirs = everything(official, lambda m: m(h, x.clone(), list(edges), v, attr), {})
    compare("velocity, authors' code", everything(ours, lambda m: m(h, x, edges, attr, v), {}), theirs)
    torch.set_default_dtype(torch.float32)


# ---------------------------------------------------------------------------------------------------------------- serve

PEER = "PyTorch"
TITLE = "EGNN beside PyTorch"

# name -> what it is, and the timed repetitions in one turn: a turn takes about a second or two.
WORKLOADS = {
    "nbody": ("100 graphs of 5 nodes, 2,000 edges, 64 features, 4 layers, velocities, 2 edge attributes", {"forward": 200, "step": 60}),
    "qm9": ("96 graphs of 18 nodes, 29,376 edges, 128 features, 7 layers, invariant, attention", {"forward": 2, "step": 1}),
}

# What benches/peers/workload.rs says in Rust: name -> (model, learning rate).
NETWORKS = {
    "nbody": (lambda: Egnn(1, 64, 4, "velocity", edge_features=2), 5e-4),
    "qm9": (lambda: Egnn(15, 128, 7, "invariant", attention=True), 1e-3),
}


def parameters(rng, shapes):
    """Weights N(0, 1 / fan in), biases N(0, 0.01)."""
    scale = {k: shape[1] ** -0.5 if len(shape) == 2 else 0.1 for k, shape in shapes.items()}
    return {k: (rng.standard_normal(shape) * scale[k]).astype(np.float32) for k, shape in shapes.items()}


def mlp_shapes(name, inputs, hidden, outputs):
    return {f"{name}.0.weight": (hidden, inputs), f"{name}.0.bias": (hidden,), f"{name}.2.weight": (outputs, hidden),
            f"{name}.2.bias": (outputs,)}


def linear_shapes(name, inputs, outputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def complete(graphs, nodes, loops=False):
    """The directed edges [2, edges] of complete graphs, sorted by receiver (row 0), then sender."""
    pairs = [(i, j) for i in range(nodes) for j in range(nodes) if loops or i != j]
    return np.concatenate([np.array(pairs).T + graph * nodes for graph in range(graphs)], 1).astype(np.int64)


def nbody(rng):
    """The charged particles: |v| = 0.5, charges +-1, edge attributes q_i q_j and |x_i - x_j|^2."""
    graphs, nodes, hidden, layers = 100, 5, 64, 4
    shapes = linear_shapes("embedding", 1, hidden)
    for i in range(layers):
        layer = f"gcl_{i}"
        shapes |= mlp_shapes(f"{layer}.edge_mlp", 2 * hidden + 3, hidden, hidden)
        shapes |= mlp_shapes(f"{layer}.node_mlp", 2 * hidden, hidden, hidden)
        shapes |= mlp_shapes(f"{layer}.coord_mlp", hidden, hidden, 1) | mlp_shapes(f"{layer}.coord_mlp_vel", hidden, hidden, 1)
        del shapes[f"{layer}.coord_mlp.2.bias"]
    state = parameters(rng, shapes)
    for i in range(layers):  # Positions stay of order 1, and their gradients visible.
        state[f"gcl_{i}.coord_mlp.2.weight"] *= 0.1
    edges = complete(graphs, nodes)
    x, v = rng.standard_normal((graphs * nodes, 3)), rng.standard_normal((graphs * nodes, 3))
    v *= 0.5 / np.linalg.norm(v, axis=1, keepdims=True)
    charges = rng.choice([-1.0, 1.0], graphs * nodes)
    row, col = edges
    attributes = np.stack([charges[row] * charges[col], ((x[row] - x[col]) ** 2).sum(1)], 1)
    inputs = {"h": np.linalg.norm(v, axis=1, keepdims=True), "x": x, "v": v, "edge_attr": attributes,
              "target": x + v + 0.1 * rng.standard_normal(x.shape)}
    return state, inputs, edges


def qm9(rng):
    """Molecules of 18 atoms, none padded: one of 5 elements times the powers 0, 1, 2 of the charge, as in the authors' code."""
    graphs, nodes, hidden, layers = 96, 18, 128, 7
    shapes = linear_shapes("embedding", 15, hidden)
    for i in range(layers):
        layer = f"gcl_{i}"
        shapes |= mlp_shapes(f"{layer}.edge_mlp", 2 * hidden + 1, hidden, hidden)
        shapes |= mlp_shapes(f"{layer}.node_mlp", 2 * hidden, hidden, hidden)
        shapes |= linear_shapes(f"{layer}.att_mlp.0", hidden, 1)
    shapes |= mlp_shapes("node_dec", hidden, hidden, hidden) | mlp_shapes("graph_dec", hidden, hidden, 1)
    state = parameters(rng, shapes)
    for i in range(layers):  # A sum over 17 neighbours: the features stay of order 1.
        state[f"gcl_{i}.node_mlp.2.weight"] *= 0.1
    state["node_dec.2.weight"] *= 0.1
    charges = np.array([1, 6, 7, 8, 9]) / 9
    element = rng.choice(5, graphs * nodes, p=[0.51, 0.35, 0.06, 0.07, 0.01])
    powers = charges[element, None] ** np.arange(3)
    h = (np.eye(5)[element][:, :, None] * powers[:, None, :]).reshape(-1, 15)
    x = 1.3 * rng.standard_normal((graphs * nodes, 3))
    return state, {"h": h, "x": x, "target": rng.standard_normal(graphs)}, complete(graphs, nodes)


def saved(path, state, inputs, edges):
    tensors = {f"state.{k}": t for k, t in state.items()} | {f"in.{k}": t.astype(np.float32) for k, t in inputs.items()}
    tensors |= {"in.edge_index": edges}
    save_file({k: torch.from_numpy(np.ascontiguousarray(t)) for k, t in tensors.items()}, path)


def padded(inputs):
    """The QM9 inputs as the authors lay them out: every pair of atoms is an edge, an atom with itself too, and masked."""
    nodes = len(inputs["h"]) // len(inputs["target"])
    edges = complete(len(inputs["target"]), nodes, loops=True)
    masks = {"node_mask": np.ones((len(inputs["h"]), 1)), "edge_mask": (edges[0] != edges[1])[:, None]}
    return inputs | masks, edges


def write(name, folder):
    state, inputs, edges = {"nbody": nbody, "qm9": qm9}[name](np.random.default_rng(1))
    saved(folder / f"{name}.safetensors", state, inputs, edges)
    if name == "qm9":
        saved(folder / "qm9.padded.safetensors", state, *padded(inputs))


def variants(name):
    rows = {"PyTorch, torch.compile": (["--compile"], name)}
    # The molecules as the authors' code lays them out; see padded().
    return rows if name == "nbody" else rows | {"PyTorch, authors' layout": ([], "qm9.padded")}


class Workload:
    """A model, its inputs and an optimiser, in one precision."""

    def __init__(self, name, path, dtype, compiled, device):
        tensors = load_file(path, device)
        build, self.rate = NETWORKS[name]
        self.model = build().to(device, dtype)
        self.model.load_state_dict({k[6:]: t for k, t in tensors.items() if k.startswith("state.")})
        inputs = {k[3:]: t.to(dtype) if t.is_floating_point() else t for k, t in tensors.items() if k.startswith("in.")}
        self.target = inputs.pop("target")
        edges = inputs.pop("edge_index")
        self.arguments = inputs | {"edges": (edges[0].contiguous(), edges[1].contiguous())}
        if name == "qm9":
            self.arguments["nodes"] = len(inputs["h"]) // len(self.target)
        self.call = torch.compile(self.model) if compiled else self.model
        self.parameters = sum(p.numel() for p in self.model.parameters())
        self.reset()

    def reset(self):
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=self.rate)

    def forward(self):
        with torch.no_grad():
            return self.call(**self.arguments)

    def step(self):
        self.optimizer.zero_grad()
        loss = nn.functional.mse_loss(self.call(**self.arguments), self.target)
        loss.backward()
        self.optimizer.step()
        return loss

    def results(self):
        """Output, loss, gradients, and the losses of five training steps; the parameters are then put back."""
        output = self.call(**self.arguments)
        loss = nn.functional.mse_loss(output, self.target)
        named = dict(self.model.named_parameters())
        tensors = {"out": output, "loss": loss} | {f"grad.{k}": g for k, g in gradients(loss, named).items()}
        saved = copy.deepcopy(self.model.state_dict())
        tensors["losses"] = torch.stack([self.step().detach() for _ in range(5)])
        self.model.load_state_dict(saved)
        self.reset()
        return tensors


def load(name, path, exact, options):
    return Workload(name, path, torch.float64 if exact else torch.float32, options.compile and not exact, options.device)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with tests/golden/egnn")
    parser.add_argument("--official", type=pathlib.Path, metavar="CLONE", help="with --check: also with the authors' code")
    parser.add_argument("--record", type=pathlib.Path, metavar="FOLDER", help="with --official: write the QM9 case here")
    parser.add_argument("--compile", action="store_true", help="with --serve: through torch.compile")
    arguments = options(parser)
    if arguments.check:
        check_golden()
        if arguments.official:
            check_official(arguments.official, arguments.record)
        check_qm9()
    elif arguments.serve:
        serve(load, arguments)
    else:
        parser.error("--check or --serve")


if __name__ == "__main__":
    main()
