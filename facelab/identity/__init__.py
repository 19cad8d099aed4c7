"""The verbs on identity: `facelab embed`, `facelab verify`, `facelab align`.

They find faces, hand them to a recogniser and print what came out; everything else is in
`recognition` and `metrics`. What they need is imported when they run.
"""

from facelab.identity.alignment import align
from facelab.identity.embedding import embed
from facelab.identity.verification import verify

__all__ = ["align", "embed", "verify"]
