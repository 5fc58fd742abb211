#!/usr/bin/env bash
# On a machine with a GPU, in at most ten minutes: what the full profile takes there.
#
#   bash benchmarks/gpu.sh [OUT]                       # writes OUT/gpu.txt
#   PROFILE=smoke DEVICE=cpu bash benchmarks/gpu.sh    # a trial of the script
#
# For each model a short training in float32 and in bfloat16; one of them compiled, with
# 60 and with 180 steps, since the first have the compiling in them; then samples a
# second. The phantom is a small one.
set -euo pipefail
out=${1:-gpu}
profile=${PROFILE:-full} device=${DEVICE:-cuda}
mkdir -p "$out"
export VQLIB_HOME
VQLIB_HOME=$(cd "$out" && pwd)
export TORCHINDUCTOR_FORCE_DISABLE_CACHES=1  # each run compiles anew
small=(-p phantom_patients 4,1,1 -p phantom_weeks 1)
train() {  # RUN KIND STEPS MORE...
  local run=$1 kind=$2 steps=$3 part short=()
  shift 3
  for part in generator maps prior flow detail; do
    short+=(-p "${part}_steps" "$steps")
  done
  vqlib train "$kind" --profile "$profile" --run "$run" --device "$device" \
    "${small[@]}" "${short[@]}" "$@" > "$out/log.txt" 2>&1 || { tail -3 "$out/log.txt"; return 0; }
  python - "$VQLIB_HOME/runs/$run/$kind/timing.json" "$run" "$kind" "$steps" << 'PY' | tee -a "$out/gpu.txt"
import json, sys
took = json.load(open(sys.argv[1]))
run, kind, steps = sys.argv[2:]
print(f"{run:12} {kind:12} {took['train_seconds']:8.1f} s for {steps} steps and validation")
PY
}
for kind in maps maps_prior sharp_vqvae prior detail sharp_vae flow; do
  train float32 "$kind" 60
  train bfloat16 "$kind" 60 --precision bf16-mixed
done
for steps in 60 180; do
  train "compiled-$steps" sharp_vqvae "$steps" --precision bf16-mixed --compile
done
python - << 'PY' | tee -a "$out/gpu.txt"
import time, torch
from vqlib.generator import FAMILIES, Generator
where = "cuda" if torch.cuda.is_available() else "cpu"
for family in FAMILIES:
    made = Generator.of_run("float32", family, where)
    positions = torch.linspace(0.1, 0.9, 16)
    made.sample(positions)
    started = time.perf_counter()
    made.sample(positions, seed=1)
    print(f"{family}: {16 / (time.perf_counter() - started):.1f} samples a second")
if where == "cuda":
    print(f"memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB while sampling")
PY
