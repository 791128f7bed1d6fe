#!/usr/bin/env bash
# torch 2.15: an optimizer that shares its param_groups with another stops steering it once a checkpoint is loaded.
#
# Expected: load_state_dict fills the state that there is, as that of a module does, so that an optimizer around another
#   (SAM, Lookahead: self.param_groups = base.param_groups) goes on as before.
# Seen: it puts new lists and dictionaries in their place. After loading, learning rates set on the outer optimizer no
#   longer reach the inner one, and its momentum stays that of a fresh start; nothing is said.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check torch==2.15.0 numpy
cat > "$folder/run.py" <<'END'
import torch

print("torch", torch.__version__)


class Outer(torch.optim.Optimizer):
    """As published wrappers do it: the groups and the state are those of the optimizer inside."""

    def __init__(self, base):
        self.base = base
        super().__init__(base.param_groups, base.defaults)
        self.param_groups, self.state = base.param_groups, base.state

    def step(self):
        self.base.step()


def make():
    weight = torch.nn.Parameter(torch.ones(1))
    return weight, Outer(torch.optim.SGD([weight], lr=0.1, momentum=0.9))


weight, outer = make()
weight.grad = torch.ones(1)
outer.step()
again, resumed = make()
shared = resumed.param_groups is resumed.base.param_groups
resumed.load_state_dict(outer.state_dict())
resumed.param_groups[0]["lr"] = 0.0  # a schedule at its end
again.grad = torch.ones(1)
resumed.step()
momentum = {"outer": len(resumed.state), "inner": resumed.base.state[again]["momentum_buffer"].item()}
print(f"shared before: {shared}, after loading: {resumed.param_groups is resumed.base.param_groups}")
print(f"rate 0 on the outer one, the weight moved by {1 - again.item():.2f}; momentum inside {momentum['inner']:.2f}, "
      "1.90 if the loaded one had been used")
assert shared and abs(1 - again.item() - 0.1) < 1e-6 and abs(momentum["inner"] - 1.0) < 1e-6, "no longer seen"
END
"$python" -W ignore "$folder/run.py"
