"""`python -m facelab` is the command `facelab`."""

from facelab.cli import main

main()
