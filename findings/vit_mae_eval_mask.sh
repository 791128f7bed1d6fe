#!/usr/bin/env bash
# transformers 5.24.0: ViTMAEModel masks and shuffles the patches at random in eval() too, also with mask_ratio=0.0.
#
# Expected: after eval() two calls with one image give one answer; with nothing masked its tokens are in their order.
# Seen: by default 5 of 17 tokens come back, others at each call. With mask_ratio=0.0 there are 17, in another
#   order at each call: once they are put back by ids_restore the calls agree to 1e-4, and the class token does anyway.
# Why: random_masking draws its noise whether the model trains or not, and sorts by it; only noise=... fixes the order.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check transformers==5.24.0 torch
cat > "$folder/run.py" <<'END'
import torch
import transformers

print("transformers", transformers.__version__, "torch", torch.__version__)
torch.manual_seed(0)
image, size = torch.rand(1, 3, 32, 32), dict(image_size=32, patch_size=8, hidden_size=32, intermediate_size=64)
seen = {}
for ratio in (0.75, 0.0):
    config = transformers.ViTMAEConfig(**size, num_hidden_layers=2, num_attention_heads=2, mask_ratio=ratio)
    model = transformers.ViTMAEModel(config).eval()
    with torch.no_grad():
        one, two = model(image), model(image)
    tokens = [call.last_hidden_state for call in (one, two)]
    seen[ratio] = (tokens[0] - tokens[1]).abs().max().item()
    print(f"mask_ratio {ratio}: {tokens[0].shape[1]} tokens, two calls differ by up to {seen[ratio]:.2f}")
# ids_restore names, for each place of the image, where its token is now.
back = [call.last_hidden_state[0, 1:][call.ids_restore[0]] for call in (one, two)]
print(f"put back by ids_restore, without a mask, they differ by up to {(back[0] - back[1]).abs().max():.0e}")
assert torch.allclose(*back, atol=1e-4), "another cause: more than the order differs"
assert min(seen.values()) > 0.1, "no longer seen"
END
"$python" -W ignore "$folder/run.py"
