"""Keep FLAME where facelab finds it, as arrays alone, without running its pickle.

The Max Planck Institute for Intelligent Systems gives it out on registration, at
https://flame.is.tue.mpg.de/, and most versions may not be passed on: nothing is fetched. Give the
file that you have: generic_model.pkl (2017, 2019, 2020), flame2023.pkl or flame2023_no_jaw.pkl, or
an .npz or .safetensors with the arrays v_template (5,023, 3), shapedirs (5,023, 3, 400) and f.

A pickle runs code when Python opens it. Here it is read as a list of instructions, none of which is
obeyed: arrays of numpy's, and those of chumpy's that wrap one, are numbers in it; anything else
stays unread. So neither chumpy nor an old numpy is needed, and a forged file can do nothing.

The three arrays are written as safetensors, about 48 MB (5,023 x 3 x 400 x 8 bytes), with the
SHA-256 of your file in the header; `facelab.geometry.model_files.load_model("flame")` reads them.
Jaw, neck and eyes stay at rest: facelab doesn't read their joints. --verify checks the sum of what
was written, and with --from compares it with your file bit by bit.

Examples:
  python data_scripts/flame.py --from generic_model.pkl --accept
  python data_scripts/flame.py --from flame2023.pkl --dry-run
"""

import sys

from facelab.data.public import weights

NAMES = ("flame",)
MODULE = "facelab.geometry.licensed"


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return 0, or 2 after one line on standard error."""
    return weights.main(NAMES, MODULE, arguments, __doc__, by_hand=True)


if __name__ == "__main__":
    sys.exit(main())
