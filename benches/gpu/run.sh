#!/usr/bin/env bash
# run.sh [all|tests|benches|peers] [--out FOLDER] [--rounds N]
#
# Runs what benches/gpu/bundle.sh packed, on a machine with a driver for its GPU and no toolchain: the tests, the benches of our side, and, where
# Python has PyTorch, NumPy and safetensors, the peers on the same GPU (those whose packages are installed). One folder of results (by default
# `results` beside this file): summary.txt, a log for every program, criterion's numbers, the plots of `scaling`, and the tables of
# the peers. Ends with 1 if anything failed. LIMIT is the time one program may take, in seconds (1800).
set -uo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
place=/tmp/equi-bundle
what=all out="$here/results" rounds=6 limit="${LIMIT:-1800}"
case "${1:-}" in all | tests | benches | peers)
    what="$1"
    shift
    ;;
esac
while [ $# -gt 0 ]; do
    case "$1" in
    --out) out="$(realpath -m "$2")" ;;
    --rounds) rounds="$2" ;;
    *)
        sed -n '2p' "$0" >&2
        exit 2
        ;;
    esac
    shift 2
done
if [ "$(readlink -f "$place")" != "$here/tree" ]; then
    if [ -e "$place" ] && [ ! -L "$place" ]; then
        echo "$place is in the way, where the tests look for their data: remove it" >&2
        exit 1
    fi
    ln -sfn "$here/tree" "$place"
    trap 'rm -f "$place"' EXIT
fi
commit="$(cat "$here/commit")"
mkdir -p "$out"
failed=0
say() { printf '%s\n' "$*" | tee -a "$out/summary.txt"; }
wants() { [ "$what" = all ] || [ "$what" = "$1" ]; }

# one LABEL LOG COMMAND...: runs it, and says how it ended.
one() {
    local label="$1" log="$out/$2" start status
    shift 2
    mkdir -p "$(dirname "$log")"
    start=$SECONDS
    timeout "$limit" "$@" >"$log" 2>&1
    status=$?
    if [ $status = 0 ]; then
        say "ok      $label, $((SECONDS - start)) s $(grep -h '^test result' "$log" | tail -1)"
    else
        failed=1
        say "FAILED  $label, status $status after $((SECONDS - start)) s: ${log#"$out/"}"
        grep -hE 'panicked|^test .*FAILED|^error' "$log" | head -5 | sed 's/^/        /' | tee -a "$out/summary.txt"
    fi
}

: >"$out/summary.txt"
say "equi $commit, $(date -u +%Y-%m-%dT%H:%MZ), $(uname -srm)"
{
    grep -m 1 'model name' /proc/cpuinfo
    nvidia-smi || rocm-smi
    vulkaninfo --summary
} >"$out/machine.txt" 2>/dev/null
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null | tee -a "$out/summary.txt"

python="$(command -v python3 || true)"
has() { [ -n "$python" ] && "$python" -c "import importlib.util, sys; sys.exit(any(importlib.util.find_spec(m) is None for m in sys.argv[1:]))" "$@"; }

for bin in "$here"/bin/*/; do
    backend="$(basename "$bin")"
    export BURN_DEVICE="$backend"
    if wants tests; then
        # All that is tried on the CPU, since a GPU has the time for it.
        export EQUI_EVERY_CASE=1
        for program in "$bin"tests/*; do
            [ -x "$program" ] || continue
            cd "$here/tree/crates/equi-layers" || exit 1
            one "$backend tests $(basename "$program")" "tests/$backend/$(basename "$program").log" "$program"
        done
    fi
    if wants benches; then
        mkdir -p "$out/benches/$backend"
        cd "$out/benches/$backend" || exit 1
        export CRITERION_HOME="$out/benches/$backend/criterion"
        for program in "$bin"benches/*; do
            name="$(basename "$program")"
            case "$name" in
            peer_egnn) continue ;; # `egnn` tests the same.
            peer_*) arguments=(--test) ;;
            scaling) arguments=(--bench --out "$out/benches/$backend/scaling") ;;
            *) arguments=(--bench --noplot) ;;
            esac
            [ -x "$program" ] || continue
            one "$backend benches $name" "benches/$backend/$name.log" "$program" "${arguments[@]}"
        done
    fi
    if wants peers && compgen -G "${bin}benches/peer_*" >/dev/null; then
        device="$(has torch && "$python" -c 'import torch; print("cuda" if torch.cuda.is_available() else "")')"
        if [ -z "$device" ] || ! has numpy safetensors; then
            say "skipped $backend peers: Python with NumPy, safetensors and a PyTorch that sees the GPU is not here"
            continue
        fi
        cd "$here/tree/benches/peers" || exit 1
        for peer in egnn o3 planar se3_transformer; do
            case $peer in
            egnn) package=torch ;;
            o3) package=e3nn ;;
            planar) package=escnn ;;
            se3_transformer) package=se3_transformer_pytorch ;;
            esac
            program="${bin}benches/peer_$peer"
            [ -x "$program" ] || continue
            if ! has "$package"; then
                say "skipped $backend peers $peer: Python has no $package"
                continue
            fi
            one "$backend peers $peer" "peers/$backend/$peer.log" "$python" run.py "$peer" --binary "$program" --device "$device" \
                --plain --busy --threads "$(nproc)" --rounds "$rounds" --commit "$commit" --out "$out/peers/$backend" \
                --command "run.sh peers, $backend"
        done
    fi
done
say "$([ $failed = 0 ] && echo 'everything passed' || echo 'something failed')"
exit $failed
