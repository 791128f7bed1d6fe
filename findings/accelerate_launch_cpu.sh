#!/usr/bin/env bash
# accelerate 1.15.0: `accelerate launch --cpu --num_processes 2` starts one process, without a word.
#
# Expected: two processes of half a batch each, as torchrun starts; or an error.
# Seen: one process of one. The option is accepted, exit status 0, nothing on stderr; the run is merely slower, and a
#   test of code for several processes passes without having tested it.
# Why: launch_command takes the launcher of several processes only for GPUs, each time "and not args.cpu"; what is
#   left is simple_launcher, which sets no WORLD_SIZE.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check \
    torch==2.15.0 accelerate==1.15.0 numpy==2.4.6

export HF_HOME="$folder/hf" OMP_NUM_THREADS=1
cat > "$folder/script.py" <<'END'
from accelerate import PartialState

state = PartialState(cpu=True)
print(f"process {state.process_index} of {state.num_processes}", flush=True)
END
"$python" -c 'import accelerate; print("accelerate", accelerate.__version__)'

bin="$folder/venv/bin"
echo "accelerate launch --cpu --num_processes 2:"
"$bin/accelerate" launch --cpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no \
    --num_cpu_threads_per_process 1 "$folder/script.py" > "$folder/launched" 2> "$folder/stderr"
cat "$folder/launched" "$folder/stderr"
echo "torchrun --nproc-per-node 2:"
"$bin/torchrun" --standalone --nproc-per-node 2 "$folder/script.py" > "$folder/torchrun" 2>> "$folder/log"
cat "$folder/torchrun"

[ "$(cat "$folder/launched")" = "process 0 of 1" ] || { echo "no longer seen"; exit 1; }
! grep -qi "process" "$folder/stderr" || { echo "no longer seen: there is a warning"; exit 1; }
[ "$(grep -o 'process [01] of 2' "$folder/torchrun" | sort -u | wc -l)" = 2 ] || { echo "torchrun differs"; exit 1; }
