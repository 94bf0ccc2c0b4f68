#!/usr/bin/env bash
# benches/gpu/bundle.sh [--backend vulkan|wgpu|cuda]... [--tests "NAMES"|none] [--benches "NAMES"|none] [--out FILE]
#
# Builds tests and benches for GPUs and packs them with their data, the Python peers and benches/gpu/run.sh into one archive, for machines with
# a driver and no toolchain:
#
#     tar -xf equi-gpu.tar.zst && equi-gpu/run.sh          everything; writes equi-gpu/results
#     equi-gpu/run.sh tests|benches|peers --out FOLDER     a part of it, elsewhere
#
# Backends: `vulkan`, the default, is wgpu on Vulkan with SPIR-V; `wgpu` the same with WGSL, on any API. `cuda` needs the internet when it is built
# (a build script of CubeCL downloads LLVM) and parts of a CUDA toolkit where it runs (NVRTC, its headers and libdevice: CUDA_PATH); it has
# benches and peers only, since the tests compare flex with wgpu. Uses CARGO_TARGET_DIR as cargo does.
#
# Tests find their data by the path that they were built in. So everything is built in /tmp/equi-bundle, a copy of the sources that is
# gone afterwards, and run.sh makes a link of that name to the unpacked archive.
set -euo pipefail
root="$(cd "$(dirname "$0")/../.." && pwd)"
place=/tmp/equi-bundle
backends=() out="$PWD/equi-gpu.tar.zst"
# Every test that knows of devices.
tests="$(cd "$root" && grep -lE 'devices\.rs|feature = "wgpu"' crates/*/tests/*.rs | xargs -n 1 basename -s .rs | tr '\n' ' ')"
benches="r2conv egnn se3_transformer tensor_product scaling peer_egnn peer_o3 peer_planar peer_se3_transformer"
while [ $# -gt 0 ]; do
    case "$1" in
    --backend) backends+=("$2") ;;
    --tests) tests="$2" ;;
    --benches) benches="$2" ;;
    --out) out="$(realpath -m "$2")" ;;
    *)
        sed -n '2,6p' "$0" >&2
        exit 2
        ;;
    esac
    shift 2
done
[ ${#backends[@]} -gt 0 ] || backends=(vulkan)
[ "$tests" != none ] || tests=""
[ "$benches" != none ] || benches=""
for tool in zstd python3; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: install it" >&2; exit 1; }
done
if [ -e "$place" ] || [ -L "$place" ]; then
    echo "$place is in the way: remove it" >&2
    exit 1
fi

bundle="$(mktemp -d)/equi-gpu"
trap 'rm -rf "$place" "$(dirname "$bundle")"' EXIT
mkdir -p "$place" "$bundle"
# Sources as they are, with their times, so that cargo knows them again.
(cd "$root" && git ls-files -z --cached --others --exclude-standard | tar --null -T - --ignore-failed-read -cf -) | tar -xf - -C "$place"

# built KIND BACKEND CARGO_ARGUMENTS...: builds, and copies what was built without its symbols.
built() {
    local folder="$bundle/bin/$2/$1" name executable listing
    shift 2
    mkdir -p "$folder"
    listing="$(cd "$place" && cargo "$@" --message-format=json-render-diagnostics | python3 -c '
import json, sys
for message in map(json.loads, sys.stdin):
    if message["reason"] == "compiler-artifact" and message["executable"] and set(message["target"]["kind"]) & {"test", "bench"}:
        print(message["target"]["name"], message["executable"])
')"
    while read -r name executable; do
        strip -s -o "$folder/$name" "$executable"
    done <<<"$listing"
}

for backend in "${backends[@]}"; do
    if [ -n "$tests" ] && [ "$backend" != cuda ]; then
        # The features of .ci/run, for the tests of both crates.
        built tests "$backend" test --no-run --release --locked -p equi-core -p equi-layers \
            --features "equi-core/flex,equi-core/$backend,equi-layers/flex,equi-layers/$backend" $(printf -- '--test %s ' $tests)
    fi
    if [ -n "$benches" ]; then
        built benches "$backend" bench --no-run --locked --features "$backend" $(printf -- '--bench %s ' $benches)
    fi
done

# Data, where the tests look for it; the peers beside it.
mkdir -p "$bundle/tree/crates/equi-core" "$bundle/tree/crates/equi-layers" "$bundle/tree/crates/equi-train" "$bundle/tree/benches"
(cd "$place" && tar -cf - tests/golden data/mnist benches/peers) | tar -xf - -C "$bundle/tree"
cp "$place/benches/gpu/run.sh" "$bundle/run.sh"
chmod +x "$bundle/run.sh"
cp "$root/LICENSE" "$bundle/"
git -C "$root" describe --always --dirty --abbrev=12 >"$bundle/commit"
tar -C "$(dirname "$bundle")" -cf - equi-gpu | zstd -q -f -T0 -15 --long=27 -o "$out"
echo "$out, $(du -h "$out" | cut -f1): $(cd "$bundle/bin" && find . -type f | sed 's|^\./||' | sort | tr '\n' ' ')"
