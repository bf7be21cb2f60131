#!/bin/sh
# The CUDA backend on a machine with CMake, a C++ compiler and nvcc, and no Node: builds, runs the conformance
# tests on every device there is, then the bench beside its forecast, then the same networks in PyTorch where it
# sees the GPU. Without a device it still builds, runs every case in the emulator, tries the bench there on small
# networks, and says at the end what has not run and why.
# Usage: native/check-gpu.sh [build folder]. Exit code: 0 all ran, 1 something failed, 3 some of it has not run.
set -eu
native=$(cd "$(dirname "$0")" && pwd)
out=${1:-$native/../build/gpu}
not_run=

# skipped WHAT WHY
skipped() {
  not_run="$not_run
  $1: $2"
}
# failed WHAT
failed() {
  echo "FAILED: $1"
  exit 1
}

mkdir -p "$(dirname "$out")"
cmake -S "$native" -B "$out" -DCMAKE_BUILD_TYPE=Release -DTENDON_TESTS=ON -DTENDON_CUDA=on >"$out.log" 2>&1 ||
  { cat "$out.log"; failed 'cmake could not configure the build'; }
cmake --build "$out" --parallel "$(nproc)" \
  --target tendon_tests tendon_cuda tendon_cuda_bench tendon_cuda_model >"$out.log" 2>&1 ||
  { cat "$out.log"; failed 'the build'; }
echo "1. built $out/libtendon_cuda.so"

echo '2. conformance'
"$out/tendon_tests" cuda: base: || failed 'conformance'

echo '3. bench'
"$out/tendon_cuda_model" || failed 'the forecast'
code=0
"$out/tendon_cuda_bench" || code=$?
if [ "$code" = 3 ]; then
  "$out/tendon_cuda_bench" cuda:emulated --small >"$out.log" 2>&1 ||
    { cat "$out.log"; failed 'the bench in the emulator'; }
  echo 'the bench itself ran, in the emulator, on small networks: it has no times to show'
  skipped 'conformance on cuda:0, the bench on cuda:0' 'no device could be opened: see "bench not run" above'
elif [ "$code" != 0 ]; then
  failed 'the bench'
fi

echo '4. PyTorch'
if [ "$code" = 3 ]; then
  skipped 'PyTorch beside it' 'there is no device'
elif why=$(python3 -c 'import torch
if not torch.cuda.is_available(): raise SystemExit("its torch sees no GPU")' 2>&1); then
  python3 "$native/bench/cuda_peer.py" || failed 'PyTorch'
else
  skipped 'PyTorch beside it' "python3: $(printf '%s\n' "$why" | tail -n 1)"
fi

if [ -z "$not_run" ]; then
  echo 'all ran'
else
  echo "not run:$not_run"
  exit 3
fi
