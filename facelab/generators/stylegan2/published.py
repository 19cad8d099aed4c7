"""StyleGAN2 generators of FFHQ's faces that a reader gets once, by name, as facelab keeps them.

No package index has them, so they are no assets of the book and no chapter needs them; the presets
`paper`, `authors` and `paper-1024` of `methods/idmap` do. `data_scripts/stylegan2_ffhq.py` fetches
a file, or takes one that the reader has, and writes it where `generator` looks.

- "stylegan2-ffhq-1024": configuration F as Karras et al. (2020) trained it, converted from NVIDIA's
  file by stylegan2-pytorch's convert_weight.py (Kim Seonghyun). Everybody who converts it gets a
  file of other bytes, so that there is no one sum; those of copies that are known are below.
- "stylegan2-ffhq-256": trained at 256 pixels by Kim Seonghyun for 550,000 steps, `550000.pt` of
  stylegan2-pytorch; its README says FID about 4.5. Nobody published its sum. train.py of that time
  keeps g, d, g_ema and the two optimisers, without a mean w and perhaps without constant noise: the
  mean is measured, and missing noise is drawn from N(0, 1), as stylegan2-pytorch itself does.

The .pkl files of stylegan2-ada-pytorch are taken as well (`nvidia_pickle`): ffhq.pkl is that
network of 1024 pixels, ffhq-res256-mirror-paper256-noaug.pkl one of 256 pixels with half as many
channels at the large sides; those of the older TensorFlow version are refused. Sums and sizes of
copies are those that their hosts' pages show (Git LFS). Nobody tried an address from here.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import torch

from facelab import assets
from facelab.assets import cache
from facelab.data.public.table import PublicSet, Published
from facelab.data.public.weights import Conversion, Weights
from facelab.errors import AssetError, CheckpointError
from facelab.generators.stylegan2 import nvidia_pickle, public, training
from facelab.generators.stylegan2.networks import StyleGAN2

LATENTS = 512
CONVOLUTION = re.compile(r"convs\.[0-7]?[0-9]\.conv\.weight")
SIZES = {"stylegan2-ffhq-256": 256, "stylegan2-ffhq-1024": 1024}
CITATION = (
    "Karras, Laine, Aittala, Hellsten, Lehtinen and Aila (2020), Analyzing and Improving the Image "
    "Quality of StyleGAN, CVPR"
)
FACES = (
    "trained on FFHQ: 70,000 photographs from Flickr of people who were not asked, a set that is "
    "for non-commercial use (CC BY-NC-SA 4.0)"
)
BY_HAND = (
    "give a file that you have with --from: of stylegan2-pytorch, as .pt or .safetensors, or of "
    "stylegan2-ada-pytorch, as .pkl or the state dictionary of its G_ema"
)
CONVERTED = Published(
    "stylegan2-ffhq-config-f.pt",
    (
        "https://huggingface.co/aaronb/StyleGAN2/resolve/"
        "5fde0cdb3664b04e8126dc6b0cab010e7813c18b/stylegan2-ffhq-config-f.pt",
    ),
    132_717_355,
    "646c7e7c5e3fc4cf8e83dcfe5dce505cc74b61d8982c09563932aa15c4baf18c",
)
# Other conversions of the same network: SHA-256 -> whose.
COPIES = {
    CONVERTED.sha256: "aaronb/StyleGAN2",
    "d0d7c5e71531c816b8cf01037393ee4fb65ed09dcb6434cc0197771e3051199b": "wmpscc/StyleGene",
    "bae494ef77e32a9cd1792a81a3c167692a0e64f6bcd8b06592ff42917e2ed46e": (
        "akhaliq/OneshotCLIP-stylegan2-ffhq"
    ),
}
DESCRIBED = {
    "stylegan2-ffhq-256": PublicSet(
        name="stylegan2-ffhq-256",
        title="StyleGAN2 for faces of 256 pixels, trained by Kim Seonghyun",
        what=f"30 million numbers; {FACES}",
        licence="none stated for the weights; the network is NVIDIA's design, the code MIT",
        terms="for research and teaching, not commercially, as the pictures that it learned from; "
        "don't pass a drawn face off as somebody",
        citation=CITATION,
        homepage="https://github.com/rosinality/stylegan2-pytorch",
        files=(
            Published(
                "550000.pt",
                (
                    "https://drive.usercontent.google.com/download?"
                    "id=1PQutd-JboOCOZqmd95XWxWrO8gGEvRcO&export=download&confirm=t",
                ),
            ),
        ),
        by_hand=BY_HAND,
    ),
    "stylegan2-ffhq-1024": PublicSet(
        name="stylegan2-ffhq-1024",
        title="StyleGAN2 for faces of 1024 pixels, configuration F, trained by NVIDIA",
        what=f"30 million numbers; {FACES}",
        licence="Nvidia Source Code License-NC",
        terms="for research and evaluation, not commercially (Nvidia Source Code License-NC, "
        "section 3.3); don't pass a drawn face off as somebody",
        citation=CITATION,
        homepage="https://github.com/NVlabs/stylegan2",
        files=(CONVERTED,),
        by_hand=BY_HAND,
    ),
}


def weights_path(name: str) -> Path:
    """Return where the script keeps a generator, whether or not it is there."""
    return cache.cache_dir() / "derived" / f"{name}.safetensors"


def generator(name: str, device: str = "cpu") -> StyleGAN2:
    """Return a generator by its name in `SIZES`, frozen, in evaluation mode, on `device`.

    Raises `AssetError` that says how to get it when the cache lacks it or has it damaged.
    """
    path = weights_path(name)
    if not assets.intact(path):
        state = "are damaged; make them again with" if path.is_file() else "don't come with facelab"
        reason = (
            ""
            if path.is_file()
            else (": their licence and their faces are for you to judge; get them with")
        )
        raise AssetError(
            f"the weights of {name} {state}{reason} data_scripts/stylegan2_ffhq.py {name}, or give "
            "a file that you have, as in `facelab train idmap:FILE`"
        )
    return load(path, name, device)


def load(path: Path, name: str, device: str = "cpu") -> StyleGAN2:
    """Return the generator of a file that the script wrote.

    Raises `CheckpointError` when it is damaged, or draws pictures of another size than its name
    says.
    """
    found = training.load(path, device)
    _require_fit(str(path), found, name)
    return found


def weights(name: str) -> Weights:
    """Return how the script makes and checks a generator."""
    return Weights(
        described=DESCRIBED[name],
        place=lambda: weights_path(name),
        convert=lambda path, sha256: convert(path, sha256, name),
        check=lambda path: load(path, name),
    )


def convert(path: Path, sha256: str, name: str) -> Conversion:
    """Return a published file's tensors under facelab's names, float32, and its header.

    Runs no code of the file. Raises `CheckpointError` when it is not a StyleGAN2 of the size that
    the name says, by the name of each tensor and its shape.
    """
    known = COPIES.get(sha256)
    origin = f"the copy of {known}" if known else "no sum that facelab knows; the tensors decide"
    remarks = [f"SHA-256 {sha256}: {origin}"]
    content = _read(path)
    drawn = _complete(content)
    if drawn:
        remarks.append(f"{drawn} layers' constant noise is not in the file: drawn from N(0, 1)")
    network = public.from_public(content, name)
    _require_fit(str(path), network, name)
    state = {key: tensor.float() for key, tensor in network.state_dict().items()}
    for key, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path} has values in {key} that are not finite; fetch it again")
    return Conversion(state, _header(network, name, sha256), tuple(remarks))


def _read(path: Path) -> dict[str, Any]:
    """Return what a file holds, by name, without running anything of it."""
    if nvidia_pickle.is_one(path):
        return nvidia_pickle.state_of(path)
    # A training's arguments lie beside its networks: a record of plain values.
    with torch.serialization.safe_globals([argparse.Namespace]):
        return assets.load_weights(path)


def _header(network: StyleGAN2, name: str, sha256: str) -> str:
    """Return the header of facelab's own generators, by which any command reads the file."""
    config = vars(network.config)
    values = {"method": training.METHOD, "id": name, "config": config, "made_of": sha256}
    return json.dumps(values, sort_keys=True)


def _complete(content: dict[str, Any]) -> int:
    """Draw noise that stylegan2-pytorch's first versions don't keep; return for how many layers."""
    state = content.get("g_ema", content)
    if not isinstance(state, dict) or "conv1.conv.weight" not in state:
        return 0
    layers = 1 + sum(bool(CONVOLUTION.fullmatch(key)) for key in state)
    random, drawn = torch.Generator().manual_seed(0), 0
    for layer in range(layers):
        side = 4 << ((layer + 1) // 2)
        noise = torch.randn(1, 1, side, side, generator=random)
        if f"noises.noise_{layer}" not in state:
            state[f"noises.noise_{layer}"] = noise
            drawn += 1
    return drawn


def _require_fit(path: str, network: StyleGAN2, name: str) -> None:
    found = (network.size, network.latents, network.config.styles)
    wanted = (SIZES[name], LATENTS, LATENTS)
    if found != wanted:
        raise CheckpointError(
            f"{path} is not {name}: it draws {found[0]} pixels from {found[1]} and {found[2]} "
            f"numbers, expected {wanted[0]} from {LATENTS} and {LATENTS}; give another file"
        )
