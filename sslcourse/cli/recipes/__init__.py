"""How the shipped checkpoints were trained: one small function a checkpoint, one file a method.

A recipe is called with the seed of its row in models.pretrained and returns the trained network; where the row resumes,
also with the file that keeps the state of the training. Beside it stands what measures it, network in, {measure: value}
out, in a few seconds, since a test measures again; where that takes minutes, a second one does so on fewer data.
"""
