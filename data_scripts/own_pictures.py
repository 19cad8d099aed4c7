"""Pack a folder of your own photographs: faces are found, aligned and kept as a dataset.

A sub-folder is a person, whatever lies below it; a picture in the folder itself is a person of its
own. JPEG, PNG, WebP, TIFF and BMP of any size, turned as the camera says. Faces are found by MTCNN
and laid on a template (--framing, book64 unless you say otherwise; "centre" takes the middle square
instead, and looks for no face). A picture without a face, or with more than one, is left out;
left_out.txt in the made folder names it.

Nothing is fetched and nothing leaves your computer. What comes out is a folder of packed faces with
an index that has the SHA-256 of each file, and a data card. Give each set a folder of its own with
-o; where facelab takes --data, that folder's path is the word:

  python data_scripts/own_pictures.py --from ~/Pictures/family -o faces/family --accept
  python data_scripts/own_pictures.py --from ~/Pictures/choir -o faces/choir --size 128 --accept
  facelab train stylegan2 --data faces/family

Faces by which people can be told apart are biometric data: ask everybody who is on the pictures,
say what for, and delete when you are asked to. --accept says that you did.
"""

import sys

from facelab.data.public import preparation


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return 0, or 2 after one line on standard error."""
    return preparation.main("own-pictures", arguments, __doc__)


if __name__ == "__main__":
    sys.exit(main())
