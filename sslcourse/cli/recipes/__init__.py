"""How the shipped checkpoints were trained: one small function a checkpoint, one file a method.

A recipe is called with the seed of its row in models.pretrained.SHIPPED and returns the trained network; beside it
stands what measures it, network in, {measure: value} out, in a few seconds, since a test measures again.
"""
