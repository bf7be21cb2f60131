#!/bin/sh
# The CUDA backend on a machine with CMake, a C++ compiler and nvcc, and no Node: builds, runs the conformance
# tests on every device there is, then the bench, then the same networks in PyTorch where it sees the GPU.
# Usage: native/check-gpu.sh [build folder]. Exit code: 0 all ran, 1 something failed, 3 no device to run on.
set -eu
native=$(cd "$(dirname "$0")" && pwd)
out=${1:-$native/../build/gpu}
cmake -S "$native" -B "$out" -DCMAKE_BUILD_TYPE=Release -DTENDON_TESTS=ON -DTENDON_CUDA=on >"$out.log" 2>&1 ||
  { cat "$out.log"; exit 1; }
cmake --build "$out" --parallel "$(nproc)" --target tendon_tests tendon_cuda tendon_cuda_bench >"$out.log" 2>&1 ||
  { cat "$out.log"; exit 1; }
echo "built $out/libtendon_cuda.so"
"$out/tendon_tests" cuda: base: || exit 1
code=0
"$out/tendon_cuda_bench" || code=$?
if [ "$code" = 0 ] && python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
  python3 "$native/bench/cuda_peer.py"
elif [ "$code" = 0 ]; then
  echo 'PyTorch not run: python3 has no torch that sees a GPU'
fi
exit "$code"
