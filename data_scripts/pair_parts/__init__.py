"""How the pairs of GANFaces are made: light and skin of a photograph, its hair, and the pairs."""
