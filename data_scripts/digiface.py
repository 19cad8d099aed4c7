"""Fetch DigiFace-1M, whose people do not exist, check it, and pack its faces.

Bae et al. (2023): rendered faces of 112 x 112 pixels. Two sets:

  digiface-1m      10,000 people with 72 pictures each and 99,999 with 5: eight zips
  digiface-1m-72   the people with 72 pictures: five of the zips

The zips come from Microsoft's servers; neither their sizes nor their sums are published: the
SHA-256 of your first whole copy is noted in the data card. The licence is Microsoft's own, for
non-commercial research; it is shown and has to be accepted. The pictures lie unpacked until their
faces are packed. What comes out is a folder of packed faces with an index and a data card. The
labels: identity, split (all are to train with). Not tried against the real servers.

Examples:
  python data_scripts/digiface.py --dry-run
  python data_scripts/digiface.py digiface-1m-72 --accept --size 112
  python data_scripts/digiface.py --from ~/digiface --accept --size 112
  python data_scripts/digiface.py digiface-1m-72 --size 112 --verify
"""

import sys

from facelab.data.public import preparation


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return 0, or 2 after one line on standard error."""
    return preparation.main(("digiface-1m", "digiface-1m-72"), arguments, __doc__)


if __name__ == "__main__":
    sys.exit(main())
