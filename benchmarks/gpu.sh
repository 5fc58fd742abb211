#!/usr/bin/env bash
# On a machine with a GPU, in at most ten minutes: what the full profile takes there.
#
#   bash benchmarks/gpu.sh [OUT]                       # writes OUT/gpu.txt
#   PROFILE=smoke DEVICE=cpu bash benchmarks/gpu.sh    # a trial of the script
#
# For each model a short training in float32, in bfloat16 and compiled: seconds a step,
# without the first epoch's start; then samples a second. The phantom is a small one.
set -euo pipefail
out=${1:-gpu}
profile=${PROFILE:-full} device=${DEVICE:-cuda}
mkdir -p "$out"
export VQLIB_HOME
VQLIB_HOME=$(cd "$out" && pwd)
small=(-p phantom_patients 4,1,1 -p phantom_weeks 1)
short=(-p generator_steps 60 -p maps_steps 60 -p prior_steps 60)
short+=(-p flow_steps 60 -p detail_steps 60)
train() {  # RUN KIND MORE...
  local run=$1 kind=$2
  shift 2
  vqlib train "$kind" --profile "$profile" --run "$run" --device "$device" \
    "${small[@]}" "${short[@]}" "$@" > "$out/log.txt" 2>&1 || { tail -3 "$out/log.txt"; return 0; }
  python - "$VQLIB_HOME/runs/$run/$kind/timing.json" "$run" "$kind" << 'PY' | tee -a "$out/gpu.txt"
import json, sys
took = json.load(open(sys.argv[1]))
print(f"{sys.argv[2]:9} {sys.argv[3]:12} {took['train_seconds']:8.1f} s for 60 steps and validation")
PY
}
for kind in maps maps_prior sharp_vqvae prior detail sharp_vae flow; do
  train float32 "$kind"
  train bfloat16 "$kind" --precision bf16-mixed
done
train compiled sharp_vqvae --precision bf16-mixed --compile
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
