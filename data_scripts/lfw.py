"""Fetch Labeled Faces in the Wild, check it, and pack its faces.

Huang et al. (2007): 13,233 pictures of 5,749 people from news sites, 250 x 250 pixels, and the
lists of pairs by which the verification of faces is reported. Four sets:

  lfw                as a face detector found them (about 180 MB)
  lfw-funneled       turned upright (243 MB)
  lfw-deepfunneled   turned upright by a learned method (109 MB)
  lfwa               funneled, with the 73 attributes of Kumar et al. (2009) by the sign of their
                     scores; nobody published a sum of their file, so that of your first copy is
                     noted in the data card

SHA-256 and MD5 are those that scikit-learn and torchvision publish. The university's server no
longer has the files; figshare has copies of the first two. Not tried against the real servers.
What comes out is a folder of packed faces with an index and a data card, and beside them pairs.txt,
pairsDevTrain.txt and pairsDevTest.txt as they are. To verify by pairs, keep the pictures as well
(--keep): the pairs name them.

Examples:
  python data_scripts/lfw.py lfw-funneled --accept --keep
  python data_scripts/lfw.py lfw --accept --size 112 --framing arcface112
  python data_scripts/lfw.py lfw-deepfunneled --from ~/Downloads --accept
"""

import sys

from facelab.data.public import preparation


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return 0, or 2 after one line on standard error."""
    sets = ("lfw", "lfw-funneled", "lfw-deepfunneled", "lfwa")
    return preparation.main(sets, arguments, __doc__)


if __name__ == "__main__":
    sys.exit(main())
