"""Generators of faces, all behind one interface: `facelab.generators.generator.Generator`.

`dcgan`, `began` and `stylegan2` are a room each: settings with presets, networks, the training as a
`facelab.phases.Method`, and the calls that load what was trained. `adversarial` has the losses that
they share, and `dirac` the smallest game, to look at.
"""
