#!/usr/bin/env bash
# benches/peers/run.sh egnn|o3|planar|se3_transformer|all|summary [--rounds N] [--threads N] [--workload NAME] [--check] [--plain]
# [--variants] [--busy] [--out FOLDER]
# benches/peers/run.sh profile egnn|o3|planar|se3_transformer WORKLOAD ACTION [--seconds S] [--threads N] [--rows N]
#
# Networks and layers of this repository beside their Python peers (EGNN in PyTorch, e3nn, escnn, se3-transformer-pytorch), on the same
# cores in the same run: makes a Python environment with the versions of requirements.txt (once, outside the clone), builds our side,
# checks that both compute the same, measures both, and writes benches/results/{peer}.md and .json. `all` does this for every peer and
# writes the table of all ratios, benches/results/README.md; `summary` only writes this table. `profile` samples our side of one action (forward, backward, step,
# exported) with perf and prints in which files the time goes. Needs Python 3.11 or newer.
# EQUI_PEERS_VENV names another environment; PIP_INDEX_URL=https://download.pytorch.org/whl/cpu with
# PIP_EXTRA_INDEX_URL=https://pypi.org/simple makes a small one, without CUDA.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
venv="${EQUI_PEERS_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/equi/peers}"
peers=(egnn o3 planar se3_transformer)
what="${1:?${peers[*]}, all, summary or profile}"
shift

# escnn asks for packages that need old compilers or an old NumPy, and are for SO(3) only (see planar.py): it is installed alone.
if ! "$venv/bin/python" -c '
import importlib.metadata, sys
for path in sys.argv[1:]:
    for line in open(path):
        name, version = line.strip().split("==")
        assert importlib.metadata.version(name).split("+")[0] == version
' "$here"/requirements*.txt 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet -r "$here/requirements.txt"
    "$venv/bin/pip" install --quiet --no-deps -r "$here/requirements-alone.txt"
fi

# built PEER OPTIONS...: builds our side with options of Cargo, which names the file that it built.
built() {
    local peer="$1"
    shift
    (cd "$here/../.." && cargo build --release --locked --bench "peer_$peer" --message-format=json-render-diagnostics "$@") |
        "$venv/bin/python" -c '
import json, sys
built = [m for m in map(json.loads, sys.stdin) if m["reason"] == "compiler-artifact" and m["target"]["name"] == sys.argv[1]]
print(built[-1]["executable"])
' "peer_$peer"
}

# measure PEER OPTIONS...
measure() {
    local peer="$1" binary
    if [ "$peer" = egnn ]; then
        "$venv/bin/python" "$here/egnn.py" --check
    fi
    binary="$(built "$peer")"
    "$venv/bin/python" "$here/run.py" "$@" --binary "$binary" --command "benches/peers/run.sh $*"
}

case "$what" in
all)
    for peer in "${peers[@]}"; do
        measure "$peer" "$@"
    done
    "$venv/bin/python" "$here/summary.py" "$@"
    ;;
profile)
    binary="$(built "$1" --config 'profile.release.package.equi-core.debug="line-tables-only"')"
    "$venv/bin/python" "$here/profile_ours.py" "$@" --binary "$binary"
    ;;
summary) "$venv/bin/python" "$here/summary.py" "$@" ;;
*) measure "$what" "$@" ;;
esac
