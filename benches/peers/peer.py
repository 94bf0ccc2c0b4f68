"""What the Python sides of benches/peers share: gradients, differences, and the process that run.py drives.

A side has

    PEER, TITLE                           what is measured against, and the heading of the results
    WORKLOADS                             name -> (what it is, {action: timed repetitions in one turn}); none: compared, not timed
    ALONE                                 if there are any: names of workloads that only our side is measured on
    write(name, folder)                   writes weights and inputs of a workload to {name}.safetensors, from a fixed seed
    ROUNDS                                if there are any: how many rounds are measured unless --rounds says it
    others(name)                          if there are any: more peers, name -> (arguments of the process, file to load)
    variants(name)                        the same, with --variants only
    load(name, path, exact, options)      the workload, on `options.device`: `parameters`, the actions as methods, `results()` as f64
                                          tensors by name; `exact`: what the others are compared with
"""

import importlib.metadata
import sys
import time

import torch
from safetensors.torch import save_file


def options(parser):
    """What every side is asked when it serves. On a GPU, products are those of f32 as they are here, not of the 10 bits of TF32."""
    parser.add_argument("--serve", action="store_true", help="answer the requests of run.py on standard input")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="of PyTorch's devices, where the measured side computes")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return given


def gradients(output, named, cotangent=None):
    """Of a loss, or of `sum(output * cotangent)`, by PyTorch's own way to begin there; zeros where a tensor does not enter."""
    found = torch.autograd.grad(output, list(named.values()), cotangent, allow_unused=True)
    return {k: torch.zeros_like(t) if g is None else g for (k, t), g in zip(named.items(), found)}


def difference(ours, theirs):
    """Largest absolute difference, relative to the largest value where that is above 1."""
    if ours.shape != theirs.shape:
        raise SystemExit(f"shapes {tuple(ours.shape)} and {tuple(theirs.shape)}")
    if ours.numel() == 0:
        return 0.0
    gap = ((ours - theirs).abs().max() / max(1.0, theirs.abs().max().item())).item()
    return float("inf") if gap != gap else gap


def timed(action, repetitions):
    finish = torch.cuda.synchronize if torch.cuda.is_initialized() else lambda: None
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        action()
        finish()
        seconds.append(time.perf_counter() - start)
    return seconds


def written(tensors, path):
    save_file({k: t.detach().to("cpu", torch.float64).contiguous() for k, t in tensors.items()}, path)
    return "written"


def serve(load, options, package=None):
    """Reads a request a line, writes an answer a line. `package`: what runs in PyTorch."""
    package = f"{package} {importlib.metadata.version(package)} on " if package else ""
    place = f"{torch.get_num_threads()} threads"
    if options.device.startswith("cuda"):
        place = torch.cuda.get_device_name(options.device)
    loaded, paths = {}, {}
    for line in sys.stdin:
        try:
            match line.split():
                case ["version"]:
                    answer = f"{package}PyTorch {torch.__version__}, {place}"
                case ["load", name, path]:
                    loaded[name], paths[name] = load(name, path, False, options), path
                    answer = f"{loaded[name].parameters} parameters"
                case ["results", name, path]:
                    answer = written(loaded[name].results(), path)
                case ["exact", name, path]:
                    answer = written(load(name, paths[name], True, options).results(), path)
                case [action, name, count]:
                    answer = " ".join(f"{s:.9f}" for s in timed(getattr(loaded[name], action), int(count)))
                case _:
                    raise ValueError(f"unknown request {line!r}")
        except Exception as error:  # The driver stops at it, with this text.
            answer = f"error: {type(error).__name__}: {error}".replace("\n", " ")
        print(answer, flush=True)
