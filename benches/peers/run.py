"""A network or layer in Rust beside its Python peer, in one run: same weights, same inputs, same cores.

Has the peer's side (egnn.py, se3_transformer.py, o3.py, planar.py; see peer.py) write the weights and inputs of each workload, starts one
process a side, checks that all compute the same (outputs, losses, gradients; against the peer in f64), and only then times them: in
rounds, each side in turn, every second round in the opposite order. Results: benches/results/{peer}.md and .json. Started by run.sh.
"""

import argparse
import datetime
import importlib
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
from safetensors.numpy import load_file

HERE = pathlib.Path(__file__).resolve().parent
RESULTS = HERE.parent / "results"

# Of the JSON.
SCHEMA = 2

# Largest difference to the peer in f64, relative to the largest value of the tensor, above which nothing is timed.
LIMIT = 1e-4

# The part of the cores that other processes may use. Threads that wait for each other in a loop, as OpenMP's do, suffer most.
BUSY = 0.1

# What `equi::core::ops::retain_memory` asks of the GNU C library, for both sides alike: what is freed is not handed back.
RETAINED = ", memory retained"
RETAIN = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}

# How an action is called in the results.
ACTIONS = {"forward": "forward", "backward": "forward and backward", "step": "training step",
           "exported": "inference after export"}


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

    def forget_peak(self):
        """Lets the peak begin anew; whether that was possible."""
        try:
            pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
            return True
        except OSError:
            return False

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def agree(peers, theirs, workload, folder):
    """Worst relative difference of each process to the peer in f64, over all tensors of the results; nothing without the peer."""
    if all(p.name != theirs for p in peers):
        return {}
    exact = folder / f"{workload}.exact.safetensors"
    next(p for p in peers if p.name == theirs).ask("exact", workload, exact)
    exact = load_file(exact)
    worst = {}
    for peer in peers:
        path = folder / f"{workload}.results.safetensors"
        peer.ask("results", workload, path)
        results = load_file(path)
        if set(results) != set(exact):
            raise SystemExit(f"{workload}: {peer.name} and {theirs} differ in {sorted(set(results) ^ set(exact))}")
        gaps = {}
        for key, value in exact.items():
            ours = results[key].astype(np.float64).reshape(value.shape)
            scale = np.abs(value).max()
            if key == "grad_norms":  # Each is of another tensor.
                scale = np.maximum(np.abs(value), 1e-3 * scale)
            gap = np.max(np.abs(ours - value) / scale) if np.all(scale > 0) else np.abs(ours).max()
            gaps[key] = float("inf") if np.isnan(gap) else float(gap)
        tensor = max(gaps, key=gaps.get)
        print(f"  {peer.name:28} {len(gaps)} tensors, largest difference to f64 {gaps[tensor]:.1e} ({tensor})", flush=True)
        if gaps[tensor] > LIMIT:
            raise SystemExit(f"{workload}: {tensor} of {peer.name} is {gaps[tensor]:.1e} off, more than {LIMIT:.0e}: not timed")
        worst[peer.name] = {"tensor": tensor, "difference": gaps[tensor]}
    return worst


def rounds(peers, workload, what, repetitions, count):
    """{peer: [seconds of each round]}, a round being the median of the repetitions in one turn, after some that are not counted: until caches
    and threads are those of this process again."""
    seconds = {peer.name: [] for peer in peers}
    warm = 1 + repetitions // 10
    for number in range(count):
        for peer in peers if number % 2 == 0 else peers[::-1]:
            times = [float(s) for s in peer.ask(what, workload, warm + repetitions).split()]
            seconds[peer.name].append(statistics.median(times[warm:]))
    return seconds


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def started(workload, commands, arguments, folder):
    """A process for every command, which has loaded the workload, and what each says of itself."""
    peers, facts = [], {}
    for name, (command, file) in commands.items():
        peer = Peer(name, command, arguments.threads)
        peers.append(peer)
        facts[name] = {"version": peer.ask("version"), "memory_at_rest_mib": peer.memory("VmRSS")}
        facts[name]["loaded"] = peer.ask("load", workload, folder / f"{file}.safetensors")
    return peers, facts


def measure(side, workload, commands, arguments, folder):
    """One workload: the check; then, in new processes, its actions."""
    title, repetitions = side.WORKLOADS[workload]
    print(f"{workload}: {title}", flush=True)
    peers, facts = started(workload, commands, arguments, folder)
    report = {"workload": workload, "shapes": title, "peers": facts, "check": agree(peers, side.PEER, workload, folder)}
    report |= {"busy": None, "actions": {}}
    for peer in peers:
        peer.close()
    if not repetitions or arguments.check:
        return report
    peers, _ = started(workload, commands, arguments, folder)
    report["busy"] = busy()
    if not arguments.busy and (report["busy"] or 0) > BUSY:
        raise SystemExit(f"other processes use {report['busy']:.0%} of the cores, and slow one side more than the other: "
                         "run this on a quiet machine, or with --busy")
    for what, count in repetitions.items():
        # On a GPU, the memory of the process is not what it computes with.
        fresh = {peer.name: arguments.device == "cpu" and peer.forget_peak() for peer in peers}
        seconds = rounds(peers, workload, what, count, arguments.rounds)
        rows = report["actions"][what] = {}
        for peer in peers:
            times = seconds[peer.name]
            # Of the same round, so that a slow moment of the machine weighs on both.
            own = "equi" + RETAINED if peer.name.endswith(RETAINED) else "equi"
            ratio = spread([ours / this for ours, this in zip(seconds[own], times)])
            rows[peer.name] = {"seconds": spread(times), "rounds": times, "equi_to_this": ratio,
                               "peak_memory_mib": peer.memory("VmHWM") if fresh[peer.name] else None}
            print(f"  {what:8} {peer.name:40} {1e3 * statistics.median(times):9.2f} ms   equi/this {ratio['median']:.2g} "
                  f"({ratio['min']:.2g} ... {ratio['max']:.2g})", flush=True)
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


def figures(number):
    """Three of them."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def table(report):
    """The results as markdown."""
    machine = report["machine"]
    lines = [
        f"# {report['title']}",
        "",
        f"{report['date']}, {machine['processor']}, {report['threads']} threads on {machine['cores']} cores, f32, {machine['system']}"
        f"{'' if report['device'] == 'cpu' else ', PyTorch on ' + report['device']}.",
        f"Written by `{report['command']}`, commit {report['commit']}.",
        "",
        f"{report['rounds']} rounds, each side in turn in every round; a round counts the median of its repetitions after the first, "
        "one and a tenth of them, that are not counted. Ratios are taken within a round. Memory is the peak of the resident set in the turns of that row, weights "
        "included, in processes that do nothing else.",
    ]
    if any(name.endswith(RETAINED) for result in report["results"] for name in result["peers"]):
        lines += ["", f"Rows with \"{RETAINED[2:]}\" run with `{' '.join(f'{k}={v}' for k, v in RETAIN.items())}`, as the command "
                  "`equi` runs, and are compared with each other."]
    for result in report["results"]:
        lines += ["", f"## {result['workload']}: {result['shapes']}", ""]
        if result["actions"]:
            lines += ["| | ms, median | min ... max | this / equi, median | min ... max | peak MiB |", "|---|---|---|---|---|---|"]
        for what, rows in result["actions"].items():
            for peer, row in rows.items():
                s, r = row["seconds"], row["equi_to_this"]
                times = [figures(1e3 * s[k]) for k in ("median", "min", "max")]
                ratios = [figures(1 / r[k]) for k in ("median", "max", "min")]
                if peer.startswith("equi"):
                    ratios, spread_of = ["1"], "-"
                else:
                    spread_of = f"{ratios[1]} ... {ratios[2]}"
                memory = row["peak_memory_mib"]
                lines.append(f"| {ACTIONS[what]}, {peer} | {times[0]} | {times[1]} ... {times[2]} | {ratios[0]} | {spread_of} | "
                             f"{'-' if memory is None else round(memory)} |")
        if result["busy"] is not None:
            lines += ["", f"- Other processes used {result['busy']:.0%} of the cores just before."]
        for peer, facts in result["peers"].items():
            gap, rest = result["check"].get(peer), facts["memory_at_rest_mib"]
            rest = "" if rest is None else f", {rest:.0f} MiB at rest"
            gap = f"at most {gap['difference']:.1e} from the check (`{gap['tensor']}`)" if gap else "not compared"
            lines.append(f"- {peer}: {facts['version']}, {facts['loaded']}{rest}; {gap}")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=["egnn", "se3_transformer", "o3", "planar"])
    parser.add_argument("--binary", type=pathlib.Path, required=True, help="the built bench `peer_{peer}`")
    parser.add_argument("--rounds", type=int, help="12, or what the peer's side has as ROUNDS")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="of PyTorch's devices; ours is the default one of its build, or BURN_DEVICE")
    parser.add_argument("--commit", help="where this is no clone")
    parser.add_argument("--workload", action="append", help="only this one")
    parser.add_argument("--check", action="store_true", help="compare what is computed, time nothing")
    parser.add_argument("--busy", action="store_true", help="measure although other processes are running")
    parser.add_argument("--plain", action="store_true", help="without the rows with memory retained")
    parser.add_argument("--variants", action="store_true", help="also torch.compile, and the authors' padded layout of QM9")
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS, help="the folder of {peer}.md and {peer}.json")
    parser.add_argument("--command", default="benches/peers/run.sh", help="as the results name it")
    arguments = parser.parse_args()
    side = importlib.import_module(arguments.peer)
    arguments.rounds = arguments.rounds or getattr(side, "ROUNDS", 12)
    unknown = set(arguments.workload or []) - set(side.WORKLOADS)
    if unknown:
        parser.error(f"--workload {' '.join(unknown)}: {arguments.peer} has {', '.join(side.WORKLOADS)}")

    if hasattr(os, "sched_setaffinity"):  # All processes on the same cores.
        available = sorted(os.sched_getaffinity(0))
        if len(available) < arguments.threads:
            raise SystemExit(f"{arguments.threads} threads need as many cores, {len(available)} are available: use --threads")
        os.sched_setaffinity(0, available[: arguments.threads])
    version = lambda *words: subprocess.run(words, capture_output=True, text=True, cwd=HERE).stdout.strip()
    report = {
        "schema": SCHEMA,
        "title": side.TITLE,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "command": arguments.command,
        "commit": arguments.commit or version("git", "describe", "--always", "--dirty", "--abbrev=12"),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}"},
        "threads": arguments.threads,
        "device": arguments.device,
        "rounds": arguments.rounds,
        "python": platform.python_version(),
        "rustc": version("rustc", "--version"),
        "results": [],
    }
    ours = [str(arguments.binary), "--serve"]
    theirs = [sys.executable, str(HERE / f"{arguments.peer}.py"), "--serve", "--threads", str(arguments.threads)]
    theirs += ["--device", arguments.device]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for workload in arguments.workload or side.WORKLOADS:
            side.write(workload, folder)
            commands = {"equi": (ours, workload)}
            if workload not in getattr(side, "ALONE", ()):
                commands[side.PEER] = (theirs, workload)
            for name, (more, file) in getattr(side, "others", lambda _: {})(workload).items():
                commands[name] = (theirs + more, file)
            if not arguments.plain:
                commands |= {name + RETAINED: command for name, command in commands.items()}
            if arguments.variants:
                commands |= {name: (theirs + more, file) for name, (more, file) in side.variants(workload).items()}
            report["results"].append(measure(side, workload, commands, arguments, folder))
    if arguments.check:
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / f"{arguments.peer}.json").write_text(json.dumps(report, indent=1) + "\n")
    (arguments.out / f"{arguments.peer}.md").write_text(table(report))
    print(f"written: {arguments.out / arguments.peer}.md and .json")


if __name__ == "__main__":
    main()
