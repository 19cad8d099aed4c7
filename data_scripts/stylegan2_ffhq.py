"""Get StyleGAN2 for FFHQ's faces, and make it a safetensors file that no code can hide in.

No package index has these weights and no chapter needs them; the presets `paper`, `authors` and
`paper-1024` of idmap do. They find them by name where this script writes them.

  stylegan2-ffhq-256    stylegan2-pytorch's own training, 550000.pt; its size and its sum were not
                        published
  stylegan2-ffhq-1024   NVIDIA's configuration F, converted by stylegan2-pytorch: 133 MB; the
                        SHA-256 of the copy that is fetched is known

A file that you have (--from) may be of any name and any sum: of stylegan2-pytorch, as .pt or
.safetensors, or of stylegan2-ada-pytorch, as .pkl or as the state dictionary of its G_ema. Each
tensor is compared by name and shape with the network. NVIDIA's .pkl files hold Python objects with
their code, which runs when Python opens them; here they are read as lists of instructions that
nobody obeys, for the numbers alone. Those of the TensorFlow version are refused. NVIDIA has

  https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/ffhq.pkl (1024 pixels)
  https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/transfer-learning-source-nets/
      ffhq-res256-mirror-paper256-noaug.pkl (256 pixels, fewer channels)

The latter may be given as --url for stylegan2-ffhq-256. Google Drive may answer with a page instead
of the file; then get it in a browser and give --from. Not tried against the real servers, nor with
the published files.

Examples:
  python data_scripts/stylegan2_ffhq.py stylegan2-ffhq-256 --accept
  python data_scripts/stylegan2_ffhq.py stylegan2-ffhq-256 --from ~/Downloads/550000.pt --accept
  facelab train idmap --preset paper
"""

import sys

from facelab.data.public import weights

NAMES = ("stylegan2-ffhq-256", "stylegan2-ffhq-1024")
MODULE = "facelab.generators.stylegan2.published"


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return 0, or 2 after one line on standard error."""
    return weights.main(NAMES, MODULE, arguments, __doc__)


if __name__ == "__main__":
    sys.exit(main())
