#!/usr/bin/env bash
# timm 1.0.31: `create_model(name, num_classes=0).num_features` is not the width of what the model returns, for families
# with a hidden layer in their head.
#
# Expected: nn.Linear(model.num_features, classes) fits the features of every model without a classifier.
# Seen: it fits ResNet and ViT; not mobilenetv3_small_050 (288, returns 1024), vgg11 (512, returns 4096) and others.
# Why: meant so by its authors: num_features is the width of forward_features; the hidden layer of the head stays when
#   the classifier goes. The width of forward is head_hidden_size.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check \
    torch==2.15.0 timm==1.0.31 numpy==2.4.6

"$python" - <<'END'
import timm
import torch

print(f"timm {timm.__version__}")
for name, differs in {
    "resnet18": False,
    "vit_tiny_patch16_224": False,
    "mobilenetv3_small_050": True,
    "mobilenetv4_conv_small_050": True,
    "vgg11": True,
    "hgnetv2_b0": True,
    "efficientvit_b0": True,
}.items():
    with torch.device("meta"), torch.no_grad():  # shapes alone
        model = timm.create_model(name, num_classes=0).eval()
        width = model(torch.zeros(1, *model.default_cfg["input_size"])).shape[1]
    print(f"{name}: num_features {model.num_features}, head_hidden_size {model.head_hidden_size}, returns {width}")
    assert (model.num_features != width) == differs, "no longer seen"
    assert model.head_hidden_size == width, "no longer the remedy"
END
