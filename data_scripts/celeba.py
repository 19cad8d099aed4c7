"""Fetch CelebA, check it, and pack its faces for training.

Liu et al. (2015): 202,599 pictures of 10,177 celebrities, 40 attributes, 5 landmarks, identities,
and splits. Two sets:

  celeba        aligned and cropped, 178 x 218 pixels: a zip of 1.4 GB and four lists (45 MB), from
                its authors' Google Drive; the published MD5 are checked
  celeba-wild   as they were found: 7z archives in parts, which you get and unpack yourself; give
                the folder with --from

Terms: non-commercial research; not to be given on. They are shown and have to be accepted.
What comes out is a folder of packed faces with labels, an index with the SHA-256 of each file, and
a data card; `facelab train METHOD --data celeba` finds it by name. The labels: identity, split, 40
attributes, landmarks5. Not tried against the real server.

Examples:
  python data_scripts/celeba.py --dry-run
  python data_scripts/celeba.py --accept --size 128
  python data_scripts/celeba.py --from ~/Downloads/celeba --accept --framing book64
  python data_scripts/celeba.py celeba-wild --from ~/img_celeba --accept --size 256
  python data_scripts/celeba.py --size 128 --verify
"""

import sys

from facelab.data.public import preparation


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return 0, or 2 after one line on standard error."""
    return preparation.main(("celeba", "celeba-wild"), arguments, __doc__)


if __name__ == "__main__":
    sys.exit(main())
