"""The training loop and what it leaves behind: it knows phases, and no paper.

`facelab.engine.loop.train(method, dataset, settings, folder)` is all that a chapter needs; `facelab
train` is the same on the command line. Nothing is imported here, so that what only reads a record
does not wait for torch.
"""
