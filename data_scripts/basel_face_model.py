"""Keep the Basel Face Model where facelab finds it, as arrays alone.

The University of Basel gives it out on registration, at https://faces.dmi.unibas.ch/bfm/, and it
may not be passed on: nothing is fetched. Give the file that you have:

  bfm2009   01_MorphableModel.mat: 53,490 vertices, 199 components of shape and of colour
  bfm2017   model2017-1_bfm_nomouth.h5 (53,149 vertices) or model2017-1_face12_nomouth.h5 (28,588),
            with 100 components of expression; those of 2019 have the same layout. Needs h5py

Names and shapes of all arrays are compared with what is known of these files; the arrays are
written as safetensors, some 260 MB for the largest (53,490 x 3 x 199 x 4 bytes, for shape and
colour), with the SHA-256 of your file in the header. `load_model(NAME)` and `load_colours(NAME)` of
facelab.geometry.model_files read them from there, without h5py. --verify checks the sum of what was
written, and with --from compares it with your file bit by bit.

Examples:
  python data_scripts/basel_face_model.py bfm2009 --from 01_MorphableModel.mat --accept
  python data_scripts/basel_face_model.py bfm2017 --from model2017-1_face12_nomouth.h5 --dry-run
"""

import sys

from facelab.data.public import weights

NAMES = ("bfm2009", "bfm2017")
MODULE = "facelab.geometry.licensed"


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return 0, or 2 after one line on standard error."""
    return weights.main(NAMES, MODULE, arguments, __doc__, by_hand=True)


if __name__ == "__main__":
    sys.exit(main())
