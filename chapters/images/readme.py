"""Draws readme.jpg, the picture at the top of the README: chapter 1 in one row."""

import argparse
from pathlib import Path

import torch

from facelab import assets, figures, images
from facelab.generators import dcgan
from facelab.recognition import align, embedder, mtcnn

OUTPUT = Path(__file__).with_suffix(".jpg")
FACES, SEED, NEAREST = 64, 0, 5


def nearest_faces(
    target: torch.Tensor,
) -> tuple[list[torch.Tensor], list[float]]:
    """Draw faces, and return those nearest to an aligned face, with their distances."""
    recogniser = embedder.embedder("dlib")
    drawn = dcgan.pretrained().sample(
        FACES, torch.Generator().manual_seed(SEED)
    )
    found = [(face, mtcnn.detect(face)) for face in drawn.split(1)]
    chips = torch.cat(
        [
            align.align(face, faces.landmarks[:1], recogniser.template)
            for face, faces in found
            if len(faces)
        ]
    )
    distances = recogniser.distance(
        recogniser.embed(chips), recogniser.embed(target)
    )
    order = distances.argsort()[:NEAREST]
    return [chips[index][None] for index in order], distances[order].tolist()


def main() -> None:
    """Compute, draw, and write beside the output before it is renamed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT)
    output = parser.parse_args().output
    photograph = images.load_image(assets.path("astronaut"))
    face = align.crop_faces(photograph, "dlib150", policy="error")
    faces, distances = nearest_faces(face.images)
    x1, y1, x2, y2 = face.boxes[0].tolist()
    titles = [
        "photograph",
        "aligned",
        *(f"{distance:.2f}" for distance in distances),
    ]
    figure = figures.image_row([photograph, face.images, *faces], titles, 1.5)
    axes = figure.axes[0]
    axes.plot(
        [x1, x2, x2, x1, x1],
        [y1, y1, y2, y2, y1],
        color=figures.COLOURS[1],
        linewidth=1,
    )
    axes.plot(
        *face.landmarks[0].T.tolist(),
        ".",
        color=figures.COLOURS[4],
        markersize=2,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    beside = output.with_name(f".{output.name}")
    figure.savefig(beside, format="jpeg", dpi=140, pil_kwargs={"quality": 90})
    beside.replace(output)
    print(output)


if __name__ == "__main__":
    main()
