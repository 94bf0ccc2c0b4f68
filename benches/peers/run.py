"""EGNN in Rust beside EGNN in PyTorch, in one run: same weights, same inputs, same cores.

Writes the weights and inputs of each workload once, starts one process a side, checks that all compute the same (outputs, loss,
every gradient, the losses of five Adam steps, against PyTorch in f64), and only then times them: in rounds, each side in turn,
every second round in the opposite order. Results: benches/results/egnn.md and egnn.json. Started by run.sh.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from safetensors.numpy import load_file, save_file

HERE = pathlib.Path(__file__).resolve().parent
RESULTS = HERE.parent / "results"

# Largest difference to PyTorch in f64, relative to the largest value of the tensor, above which nothing is timed.
LIMIT = 1e-4

# The part of the cores that other processes may use. Threads that wait for each other in a loop, as OpenMP's do, suffer most.
BUSY = 0.1

# name -> what it is, and the timed repetitions in one turn of (forward, step): a turn takes about a second or two.
WORKLOADS = {
    "nbody": ("100 graphs of 5 nodes, 2,000 edges, 64 features, 4 layers, velocities, 2 edge attributes", {"forward": 40, "step": 15}),
    "qm9": ("96 graphs of 18 nodes, 29,376 edges, 128 features, 7 layers, invariant, attention", {"forward": 2, "step": 1}),
}

# The molecules as the authors' code lays them out; see padded().
PADDED = "PyTorch, authors' layout"

# What `equi::core::ops::retain_memory` asks of the GNU C library, for both sides alike: what is freed is not handed back.
RETAINED = ", memory retained"
RETAIN = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}


def parameters(rng, shapes):
    """Weights N(0, 1 / fan in), biases N(0, 0.01)."""
    scale = {k: shape[1] ** -0.5 if len(shape) == 2 else 0.1 for k, shape in shapes.items()}
    return {k: (rng.standard_normal(shape) * scale[k]).astype(np.float32) for k, shape in shapes.items()}


def mlp(name, inputs, hidden, outputs):
    return {f"{name}.0.weight": (hidden, inputs), f"{name}.0.bias": (hidden,), f"{name}.2.weight": (outputs, hidden),
            f"{name}.2.bias": (outputs,)}


def linear(name, inputs, outputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def complete(graphs, nodes, loops=False):
    """The directed edges [2, edges] of complete graphs, sorted by receiver (row 0), then sender."""
    pairs = [(i, j) for i in range(nodes) for j in range(nodes) if loops or i != j]
    return np.concatenate([np.array(pairs).T + graph * nodes for graph in range(graphs)], 1).astype(np.int64)


def nbody(rng):
    """The charged particles: |v| = 0.5, charges +-1, edge attributes q_i q_j and |x_i - x_j|^2."""
    graphs, nodes, hidden, layers = 100, 5, 64, 4
    shapes = linear("embedding", 1, hidden)
    for i in range(layers):
        layer = f"gcl_{i}"
        shapes |= mlp(f"{layer}.edge_mlp", 2 * hidden + 3, hidden, hidden) | mlp(f"{layer}.node_mlp", 2 * hidden, hidden, hidden)
        shapes |= mlp(f"{layer}.coord_mlp", hidden, hidden, 1) | mlp(f"{layer}.coord_mlp_vel", hidden, hidden, 1)
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
    shapes = linear("embedding", 15, hidden)
    for i in range(layers):
        layer = f"gcl_{i}"
        shapes |= mlp(f"{layer}.edge_mlp", 2 * hidden + 1, hidden, hidden) | mlp(f"{layer}.node_mlp", 2 * hidden, hidden, hidden)
        shapes |= linear(f"{layer}.att_mlp.0", hidden, 1)
    shapes |= mlp("node_dec", hidden, hidden, hidden) | mlp("graph_dec", hidden, hidden, 1)
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


def write(path, state, inputs, edges):
    tensors = {f"state.{k}": t for k, t in state.items()} | {f"in.{k}": t.astype(np.float32) for k, t in inputs.items()}
    # safetensors writes an array as it lies in memory.
    save_file({k: np.ascontiguousarray(t) for k, t in (tensors | {"in.edge_index": edges}).items()}, path)


def padded(inputs):
    """The QM9 inputs as the authors lay them out: every pair of atoms is an edge, an atom with itself too, and masked."""
    nodes = len(inputs["h"]) // len(inputs["target"])
    edges = complete(len(inputs["target"]), nodes, loops=True)
    masks = {"node_mask": np.ones((len(inputs["h"]), 1)), "edge_mask": (edges[0] != edges[1])[:, None]}
    return inputs | masks, edges


class Peer:
    """A process that answers one line with one line."""

    def __init__(self, name, command, threads):
        self.name = name
        names = ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"]
        environment = os.environ | dict.fromkeys(names, str(threads)) | (RETAIN if name.endswith(RETAINED) else {})
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def ask(self, *words):
        request = " ".join(map(str, words))
        try:
            self.process.stdin.write(request + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # There is no answer either.
        answer = self.process.stdout.readline().strip()
        if not answer or answer.startswith("error"):
            raise SystemExit(f"{self.name}, asked {request!r}: {answer or 'ended without an answer'}")
        return answer

    def memory(self, field):
        """VmRSS, VmHWM (the peak) in MiB; None where there is no /proc."""
        try:
            status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
            return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(field + ":"))
        except (OSError, StopIteration):
            return None

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def agree(peers, workload, folder):
    """Worst relative difference of each peer to PyTorch in f64, over outputs, loss, gradients and training losses."""
    exact = folder / f"{workload}.exact.safetensors"
    next(p for p in peers if p.name == "PyTorch").ask("exact", workload, exact)
    exact = load_file(exact)
    worst = {}
    for peer in peers:
        path = folder / f"{workload}.results.safetensors"
        peer.ask("results", workload, path)
        results = load_file(path)
        if set(results) != set(exact):
            raise SystemExit(f"{workload}: {peer.name} and PyTorch differ in {sorted(set(results) ^ set(exact))}")
        gaps = {}
        for key, value in exact.items():
            ours = results[key].astype(np.float64).reshape(value.shape)
            scale = np.abs(value).max()
            gap = np.abs(ours - value).max() / scale if scale > 0 else np.abs(ours).max()
            gaps[key] = float("inf") if np.isnan(gap) else float(gap)
        tensor = max(gaps, key=gaps.get)
        print(f"  {peer.name:28} {len(gaps)} tensors, largest difference to f64 {gaps[tensor]:.1e} ({tensor})", flush=True)
        if gaps[tensor] > LIMIT:
            raise SystemExit(f"{workload}: {tensor} of {peer.name} is {gaps[tensor]:.1e} off, more than {LIMIT:.0e}: not timed")
        worst[peer.name] = {"tensor": tensor, "difference": gaps[tensor]}
    return worst


def rounds(peers, workload, what, repetitions, count):
    """{peer: [seconds of each round]}, a round being the median of the repetitions in one turn, after one that is not counted."""
    seconds = {peer.name: [] for peer in peers}
    for number in range(count):
        for peer in peers if number % 2 == 0 else peers[::-1]:
            times = [float(s) for s in peer.ask(what, workload, repetitions + 1).split()]
            seconds[peer.name].append(statistics.median(times[1:]))
    return seconds


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def started(workload, commands, arguments, folder):
    """A process for every command, which has loaded the workload, and what each says of itself."""
    peers, facts = [], {}
    for name, command in commands.items():
        peer = Peer(name, command, arguments.threads)
        peers.append(peer)
        facts[name] = {"version": peer.ask("version"), "memory_at_rest_mib": peer.memory("VmRSS")}
        file = "qm9.padded" if name == PADDED else workload
        facts[name]["loaded"] = peer.ask("load", workload, folder / f"{file}.safetensors")
    return peers, facts


def measure(workload, commands, arguments, folder):
    """One workload: the check; then, in new processes, forward passes and training steps."""
    title, repetitions = WORKLOADS[workload]
    print(f"{workload}: {title}", flush=True)
    peers, facts = started(workload, commands, arguments, folder)
    report = {"workload": workload, "shapes": title, "peers": facts, "check": agree(peers, workload, folder)}
    for peer in peers:
        peer.close()
    peers, _ = started(workload, commands, arguments, folder)
    report["busy"] = busy()
    if not arguments.busy and (report["busy"] or 0) > BUSY:
        raise SystemExit(f"other processes use {report['busy']:.0%} of the cores, and slow one side more than the other: "
                         "run this on a quiet machine, or with --busy")
    for what, count in repetitions.items():
        seconds = rounds(peers, workload, what, count, arguments.rounds)
        report[what] = {}
        for peer in peers:
            times = seconds[peer.name]
            # Of the same round, so that a slow moment of the machine weighs on both.
            own = "equi" + RETAINED if peer.name.endswith(RETAINED) else "equi"
            ratio = spread([ours / this for ours, this in zip(seconds[own], times)])
            report[what][peer.name] = {"seconds": spread(times), "rounds": times, "equi_to_this": ratio,
                                       "peak_memory_mib": peer.memory("VmHWM")}
            print(f"  {what:8}{peer.name:28} {1e3 * statistics.median(times):9.2f} ms   equi/this {ratio['median']:.2f} "
                  f"({ratio['min']:.2f} ... {ratio['max']:.2f})", flush=True)
    for peer in peers:
        peer.close()
    return report


def busy():
    """The part of all cores that other processes use now; none where there is no /proc."""
    def ticks():
        numbers = [int(n) for n in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(numbers), numbers[3] + numbers[4]
    try:
        total, idle = ticks()
        time.sleep(2)
        later, idle_later = ticks()
        return 1 - (idle_later - idle) / (later - total)
    except OSError:
        return None


def processor():
    try:
        info = pathlib.Path("/proc/cpuinfo").read_text()
        return next(line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def table(report):
    """The results as markdown."""
    machine = report["machine"]
    lines = [
        "# EGNN beside PyTorch",
        "",
        f"{report['date']}, {machine['processor']}, {report['threads']} threads on {machine['cores']} cores, f32, {machine['system']}.",
        f"Written by `{report['command']}`, commit {report['commit']}.",
        "",
        f"{report['rounds']} rounds, each side in turn in every round; a round counts the median of its repetitions after one that is "
        "not counted. Ratios are taken within a round. Memory is the peak of the resident set so far, in processes that do nothing else.",
        "",
        f"Rows with \"{RETAINED[2:]}\" run with `{' '.join(f'{k}={v}' for k, v in RETAIN.items())}`, as the command `equi` "
        "runs, and are compared with each other.",
    ]
    for result in report["results"]:
        lines += ["", f"## {result['workload']}: {result['shapes']}", ""]
        lines += ["| | ms, median | min ... max | equi / this, median | min ... max | peak MiB |", "|---|---|---|---|---|---|"]
        for what, title in (("forward", "forward"), ("step", "training step")):
            for peer, row in result[what].items():
                s, r = row["seconds"], row["equi_to_this"]
                times = [f"{1e3 * s[k]:.2f}" if s["median"] < 0.1 else f"{1e3 * s[k]:.0f}" for k in ("median", "min", "max")]
                ratios = ["1", "-"] if peer.startswith("equi") else [f"{r['median']:.2f}", f"{r['min']:.2f} ... {r['max']:.2f}"]
                memory = row["peak_memory_mib"]
                lines.append(f"| {title}, {peer} | {times[0]} | {times[1]} ... {times[2]} | {ratios[0]} | {ratios[1]} | "
                             f"{'-' if memory is None else round(memory)} |")
        others = "unknown" if result["busy"] is None else f"{result['busy']:.0%}"
        lines += ["", f"- Other processes used {others} of the cores just before."]
        for peer, facts in result["peers"].items():
            gap, rest = result["check"][peer], facts["memory_at_rest_mib"]
            rest = "" if rest is None else f", {rest:.0f} MiB at rest"
            lines.append(f"- {peer}: {facts['version']}, {facts['loaded']}{rest}; at most {gap['difference']:.1e} from f64 "
                         f"(`{gap['tensor']}`)")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, required=True, help="the built bench `peer_egnn`")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workload", choices=WORKLOADS, action="append", help="only this one")
    parser.add_argument("--busy", action="store_true", help="measure although other processes are running")
    parser.add_argument("--variants", action="store_true", help="also torch.compile, and the authors' padded layout of QM9")
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS, help="the folder of egnn.md and egnn.json")
    parser.add_argument("--command", default="benches/peers/run.sh", help="as the results name it")
    arguments = parser.parse_args()

    if hasattr(os, "sched_setaffinity"):  # All processes on the same cores.
        available = sorted(os.sched_getaffinity(0))
        if len(available) < arguments.threads:
            raise SystemExit(f"{arguments.threads} threads need as many cores, {len(available)} are available: use --threads")
        os.sched_setaffinity(0, available[: arguments.threads])
    version = lambda *words: subprocess.run(words, capture_output=True, text=True, cwd=HERE).stdout.strip()
    report = {
        "schema": 1,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "command": arguments.command,
        "commit": version("git", "describe", "--always", "--dirty", "--abbrev=12"),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}"},
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "python": platform.python_version(),
        "rustc": version("rustc", "--version"),
        "results": [],
    }
    torch = [sys.executable, str(HERE / "egnn.py"), "--serve", "--threads", str(arguments.threads)]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for workload in arguments.workload or WORKLOADS:
            state, inputs, edges = {"nbody": nbody, "qm9": qm9}[workload](np.random.default_rng(1))
            write(folder / f"{workload}.safetensors", state, inputs, edges)
            ours = [str(arguments.binary), "--serve"]
            commands = {"equi": ours, "PyTorch": torch, "equi" + RETAINED: ours, "PyTorch" + RETAINED: torch}
            if arguments.variants:
                commands["PyTorch, torch.compile"] = torch + ["--compile"]
                if workload == "qm9":
                    write(folder / "qm9.padded.safetensors", state, *padded(inputs))
                    commands[PADDED] = torch
            report["results"].append(measure(workload, commands, arguments, folder))
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "egnn.json").write_text(json.dumps(report, indent=1) + "\n")
    (arguments.out / "egnn.md").write_text(table(report))
    print(f"written: {arguments.out / 'egnn.md'}, {arguments.out / 'egnn.json'}")


if __name__ == "__main__":
    main()
