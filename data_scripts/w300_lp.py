"""Fetch 300W-LP, check it, and pack its faces with the heads that were fitted to them.

Zhu et al. (2016): the photographs of 300-W, their faces turned further and further by fitted heads,
122,450 pictures of 450 x 450 pixels with the mirrored ones; 68 landmarks and the parameters of a
Basel Face Model each. A zip of 2.8 GB from its authors' Google Drive; SHA-256 is that of TensorFlow
Datasets. Not tried against the real server.

What comes out is a folder of packed faces with an index and a data card. The labels: identity (all
turns of a face are one person), split (all are for training), landmarks, pose_para, shape_para and
expression_para as published, euler_rad (yaw, pitch, roll), and frame, the transform from the file's
pixels to the packed ones. For the pairs that GANFaces learns from, keep the pictures (--keep) and
go on with data_scripts/w300_lp_pairs.py.

The framing book64 lays the eyes, nose and mouth on the place that they have in the book's faces;
where a head is in full profile that is a rough fit. "centre" is the whole picture.

Examples:
  python data_scripts/w300_lp.py --accept --keep
  python data_scripts/w300_lp.py --accept --size 224 --framing centre
  python data_scripts/w300_lp.py --from ~/Downloads --accept
"""

import sys

from facelab.data.public import preparation


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return 0, or 2 after one line on standard error."""
    return preparation.main("300w-lp", arguments, __doc__)


if __name__ == "__main__":
    sys.exit(main())
