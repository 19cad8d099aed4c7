"""Fetch FFHQ's thumbnails, or take a larger copy that you have, check it, and pack its faces.

Karras et al. (2019): 70,000 portraits from Flickr, all aligned alike. Two sets:

  ffhq       128 x 128 pixels: a zip of about 2 GB from a copy at archive.org, and the authors' list
             of licences, authors and landmarks (268 MB) from their Google Drive. The list's MD5 is
             published, and it has the MD5 of each thumbnail: all of them are compared
  ffhq-256   256 x 256 pixels or more, as you have them, flat or by thousands, PNG or JPEG; give the
             folder with --from, and lay ffhq-dataset-v2.json beside the pictures for the licences

The licences are the photographers' own (CC BY, CC BY-NC, public domain); the set is under CC
BY-NC-SA 4.0. They are shown and have to be accepted. What comes out is a folder of packed faces
with labels, an index with the SHA-256 of each file, a data card, and the list of licences and
authors where it was given. The labels: split (the first 60,000 train, the others validate),
licence, 68 landmarks; each picture counts as one person. Not tried against the real servers.

Examples:
  python data_scripts/ffhq.py --dry-run
  python data_scripts/ffhq.py --accept --size 128
  python data_scripts/ffhq.py --from ~/ffhq-dataset --accept --size 64 --framing book64
  python data_scripts/ffhq.py ffhq-256 --from ~/ffhq256 --accept --size 256
  python data_scripts/ffhq.py --size 128 --verify
"""

import sys

from facelab.data.public import preparation


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return 0, or 2 after one line on standard error."""
    return preparation.main(("ffhq", "ffhq-256"), arguments, __doc__)


if __name__ == "__main__":
    sys.exit(main())
