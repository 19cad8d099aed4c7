"""Generators of faces, all behind one interface: `facelab.generators.generator.Generator`."""
