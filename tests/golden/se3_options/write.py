"""se3-transformer-pytorch 0.9.0, option by option: weights, inputs and outputs of small networks, for crates/equi-layers/tests/se3_options.rs.

    python write.py        in the environment of benches/peers/requirements.txt
"""

import os
import pathlib
import sys

os.environ.setdefault("CACHE_PATH", str(pathlib.Path(sys.prefix) / "se3_transformer_basis"))

import torch
from safetensors.torch import save_file
from se3_transformer_pytorch import SE3Transformer
from se3_transformer_pytorch.basis import basis_transformation_Q_J
from se3_transformer_pytorch.se3_transformer_pytorch import RadialFunc

BATCH, NODES = 2, 7
BASE = {"dim": 3, "heads": 2, "dim_head": 2, "depth": 1, "num_degrees": 2, "output_degrees": 2}

place = torch.arange(NODES)
apart = (place[:, None] - place).abs()
MASK = torch.ones(BATCH, NODES, dtype=bool)
MASK[1, 5:] = False
CHAIN = (apart <= 1).expand(BATCH, -1, -1)
RING = ((apart == 1) | (apart == NODES - 1)).expand(BATCH, -1, -1)
SOME = (place[:, None] * place % 3 != 1).expand(BATCH, -1, -1)

# name -> options, inputs beside scalars and positions. se3_options.rs says the same in Rust.
CASES = {
    "plain": ({"num_degrees": 3, "depth": 2}, {}),
    "one_head": ({"heads": 1, "dim_head": 3}, {}),
    "fibres": ({"hidden_fiber_dict": {0: 4, 1: 3, 2: 2}, "out_fiber_dict": {0: 3, 2: 2}, "dim_in": (3, 2), "input_degrees": 2, "num_degrees": None}, {"vectors": (2, 3)}),
    "norms": ({"norm_out": True, "reduce_dim_out": True, "num_conv_layers": 2, "norm_gated_scale": True}, {}),
    "radius": ({"valid_radius": 1.5}, {}),
    "nearest": ({"num_neighbors": 3}, {}),
    "causal": ({"causal": True}, {}),
    "mask": ({}, {"mask": MASK}),
    "neighbor_mask": ({"num_neighbors": 6}, {"neighbor_mask": SOME}),
    "bonds": ({"attend_sparse_neighbors": True, "num_neighbors": 0, "num_adj_degrees": 2, "adj_dim": 2}, {"adj_mat": CHAIN}),
    "bonds_and_nearest": ({"attend_sparse_neighbors": True, "num_neighbors": 2, "num_adj_degrees": 1, "adj_dim": 2, "edge_dim": 2}, {"adj_mat": RING, "edges": (2,)}),
    "tokens": ({"num_tokens": 5, "num_positions": 9}, {"tokens": 5}),
    "edge_tokens": ({"num_edge_tokens": 4, "edge_dim": 2}, {"edge_tokens": 4}),
    "fourier": ({"edge_dim": 2, "fourier_encode_dist": True, "rel_dist_num_fourier_features": 3}, {"edges": (2,)}),
    "null": ({"use_null_kv": True}, {}),
    "global": ({"global_feats_dim": 3, "use_null_kv": True}, {"global_feats": 3}),
    "linear_keys": ({"linear_proj_keys": True}, {}),
    "tied_keys": ({"tie_key_values": True}, {}),
    "one_key": ({"one_headed_key_values": True, "use_null_kv": True, "global_feats_dim": 3}, {"global_feats": 3}),
    "one_linear_key": ({"one_headed_key_values": True, "linear_proj_keys": True}, {}),
    "egnn": ({"use_egnn": True, "egnn_feedforward": True, "egnn_weights_clamp_value": 0.5, "edge_dim": 2, "num_degrees": 3, "depth": 2}, {"edges": (2,)}),
    "egnn_out": ({"use_egnn": True, "egnn_hidden_dim": 5, "out_fiber_dict": {0: 2, 1: 3}, "norm_out": True}, {}),
}


def numbers(*shape):
    return torch.randn(shape).double()


def case(options, given):
    options = BASE | options
    network = SE3Transformer(**options)
    for name, weight in network.named_parameters():
        # Null keys and values above degree 0 break the symmetry: they stay zero.
        if "null_" not in name or name.endswith(".0"):
            weight.data = torch.randn_like(weight) / (weight.shape[-1] ** 0.5 if weight.dim() > 1 else 1)
    tensors = {f"state.{k}": t.clone() for k, t in network.state_dict().items()}
    network.double()

    channels = options.get("dim_in", (BASE["dim"],))[0]
    inputs = {"feats": numbers(BATCH, NODES, channels), "coors": numbers(BATCH, NODES, 3)}
    for name, what in given.items():
        pairs = (BATCH, NODES, NODES)
        inputs[name] = {
            "vectors": lambda: numbers(BATCH, NODES, *what),
            "edges": lambda: numbers(*pairs, *what),
            "global_feats": lambda: numbers(BATCH, 2, what),
            "tokens": lambda: torch.randint(what, (BATCH, NODES)),
            "edge_tokens": lambda: torch.randint(what, pairs),
        }.get(name, lambda: what)()
    tensors |= {f"in.{k}": t.float() if t.is_floating_point() else t.to(torch.uint8) for k, t in inputs.items()}

    arguments = {"edges" if k == "edge_tokens" else k: t for k, t in inputs.items()}
    feats, vectors = arguments.pop("feats"), arguments.pop("vectors", None)
    if vectors is not None:
        feats = {"0": feats[..., None], "1": vectors}
    feats = arguments.pop("tokens", feats)
    with torch.no_grad():
        for name, pooled in (("out", False), ("pooled", True)):
            found = network(feats, **arguments, return_pooled=pooled)
            tensors |= {f"{name}.{k}": t for k, t in found.items()}
    return tensors


def main():
    torch.manual_seed(0)
    # The width of the radial networks is no option of the package.
    RadialFunc.__init__.__defaults__ = (None, 4)
    tensors = {f"{name}.{k}": t for name, (options, given) in CASES.items() for k, t in case(options, given).items()}
    for a in range(3):
        for b in range(3):
            tensors |= {f"bases.Q.{j}.{a}.{b}": basis_transformation_Q_J(j, a, b) for j in range(abs(a - b), a + b + 1)}
    save_file({k: t.contiguous().clone() for k, t in tensors.items()}, pathlib.Path(__file__).with_name("cases.safetensors"))


if __name__ == "__main__":
    main()
