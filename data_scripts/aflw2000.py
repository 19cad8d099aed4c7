"""Fetch AFLW2000-3D, check it, and pack its faces with the heads that were fitted to them.

Zhu et al. (2016): 2,000 photographs of 450 x 450 pixels in all poses, with the parameters of a
Basel Face Model and the 68 landmarks of that head. A zip of 87 MB from its authors' server; SHA-256
is that of TensorFlow Datasets. Not tried against the real server, which some say is gone: then get
the zip from a copy and give its folder with --from.

What comes out is a folder of packed faces with an index and a data card. The labels: identity (each
photograph on its own), split (all are for testing), landmarks, pose_para, shape_para and
expression_para as published, euler_rad (yaw, pitch, roll), and frame, the transform from the file's
pixels to the packed ones. data_scripts/w300_lp_pairs.py makes pairs of photograph and render of it.

Examples:
  python data_scripts/aflw2000.py --accept
  python data_scripts/aflw2000.py --from ~/Downloads --accept --size 224 --framing centre
"""

import sys

from facelab.data.public import preparation


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return 0, or 2 after one line on standard error."""
    return preparation.main("aflw2000-3d", arguments, __doc__)


if __name__ == "__main__":
    sys.exit(main())
