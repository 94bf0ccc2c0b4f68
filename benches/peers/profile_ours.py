"""Where our side of a workload spends its time: shares of the samples of `perf`, by the files of this repository.

    profile_ours.py PEER WORKLOAD ACTION --binary FILE [--seconds S] [--threads N]

Has the peer's side write weights and inputs, repeats the action in our process, as run.py does, and samples that process only once it is warm. A sample
counts for the innermost file of equi that it is in, inlined functions included, except those that only name the instructions of vectors; what is in none counts
for the library it is in. Waiting for work in a loop counts, sleeping does not. Started by `run.sh profile`, which builds with line tables; needs perf and binutils.
"""

import argparse
import collections
import importlib
import pathlib
import re
import subprocess
import tempfile

from run import Peer


# Files of functions that are one instruction or a few: what uses them counts.
PRIMITIVE = ("/lanes.rs", "/float.rs", "/vector.rs", "/simd.rs")


def output(*command, given=None):
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout


def load_offset(data, binary):
    """What is added to an address of a sample to find it in the file."""
    events = output("perf", "script", "-i", data, "--show-mmap-events")
    pattern = r"\[0x([0-9a-f]+)\(0x[0-9a-f]+\) @ (0x[0-9a-f]+|0) .*r-xp .*" + re.escape(binary.name)
    start, offset = next((int(m[1], 16), int(m[2], 16)) for m in map(re.compile(pattern).search, events.splitlines()) if m)
    headers = output("readelf", "-lW", binary)
    file, memory = (int(n, 16) for n in re.search(r"LOAD\s+0x([0-9a-f]+)\s+0x([0-9a-f]+).*R E", headers).groups())
    return offset - start - file + memory


def places(addresses, binary):
    """For every address: file and function of equi that it is in; none where it is in neither."""
    lines = output("addr2line", "-a", "-i", "-f", "-C", "-e", binary, given="\n".join(map(hex, addresses))).splitlines()
    found, frames = [], None
    for line in lines:
        if line.startswith("0x"):
            frames = []
            found.append(frames)
        else:
            frames.append(line)
    for frames in found:
        files = [re.sub(r".*/crates/(equi-\w+)/src/([^ :]*).*", r"\1 \2", place) for place in frames[1::2] if "/crates/equi-" in place]
        yield next((file for file in files if not file.endswith(PRIMITIVE)), files[0] if files else None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=["egnn", "se3_transformer", "o3", "planar"])
    parser.add_argument("workload")
    parser.add_argument("action")
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=20)
    arguments = parser.parse_args()
    side = importlib.import_module(arguments.peer)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        side.write(arguments.workload, folder)
        peer = Peer("equi", [str(arguments.binary), "--serve"], arguments.threads)
        peer.ask("load", arguments.workload, folder / f"{arguments.workload}.safetensors")
        warm = [float(s) for s in peer.ask(arguments.action, arguments.workload, 20).split()]
        count = max(1, int(arguments.seconds / min(warm)))
        data = folder / "perf.data"
        recorder = subprocess.Popen(["perf", "record", "-q", "-F", "2000", "-o", data, "-p", str(peer.process.pid)])
        peer.ask(arguments.action, arguments.workload, count)
        recorder.terminate()
        recorder.wait()
        peer.close()
        samples = [line.split(None, 1) for line in output("perf", "script", "-i", data, "-F", "ip,dso").splitlines() if line.strip()]
        ours = collections.Counter(int(ip, 16) for ip, place in samples if arguments.binary.name in place)
        shares = collections.Counter(
            pathlib.PurePath(place.strip("()")).name for ip, place in samples if arguments.binary.name not in place)
        offset = load_offset(data, arguments.binary)
        for number, place in zip(ours.values(), places([ip + offset for ip in ours], arguments.binary)):
            shares[place or "Burn, Rust's libraries"] += number
    total = sum(shares.values())
    print(f"{arguments.workload}, {arguments.action}: {total} samples of {count} repetitions")
    for place, samples in shares.most_common(arguments.rows):
        print(f"{samples / total:7.1%}  {place}")


if __name__ == "__main__":
    main()
