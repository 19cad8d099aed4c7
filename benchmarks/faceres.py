"""The second recogniser: where it wants faces, its threshold, how good and how quick.

Prints a record and writes it to runs/bench/faceres.json. All but the speed is measured on people
who do not exist (AnnyFaces, 128 pixels, faces found by MTCNN; those that it misses are left out)
and on the photographs of the assets. What is chosen is chosen on people of the validation split and
reported on people of the test split:

- The template: among crops around MTCNN's box, the one with the largest AUC.
- The threshold: where as many pairs of two people are accepted as pairs of one person are refused
  (false match rate = false non-match rate).
"""

import argparse
import copy
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from recognition import photographs
from recording import best_seconds, record

from facelab.data.anny_faces import AnnyFaces
from facelab.generators import dcgan
from facelab.metrics import verification
from facelab.recognition import align, mtcnn
from facelab.recognition.align import TEMPLATES, Template
from facelab.recognition.embedder import Embedder, embedder
from facelab.recognition.faceres import AT_ONCE, SIZE

ROOT = Path(__file__).parents[1]
PIXELS, VIEWS, SEED = 128, 6, 5
# Share of the crop's side that MTCNN's box takes, and how far its middle lies below the crop's.
SHARES, SHIFTS = (0.7, 0.76, 0.82, 0.88, 0.94), (-8, 0, 8)
NOISE = 0.5


@dataclass(frozen=True)
class Found:
    """Faces that were found: pictures, their five points, who each is, and how many were missed."""

    images: list[torch.Tensor]
    landmarks: list[torch.Tensor]
    people: torch.Tensor
    missed: int

    def __len__(self) -> int:
        return len(self.images)

    def crops(self, template: str | Template) -> torch.Tensor:
        cut = zip(self.images, self.landmarks, strict=True)
        return torch.cat([align.align(image, points, template) for image, points in cut])


def find(images: list[torch.Tensor], people: torch.Tensor) -> Found:
    """Find the largest face of each picture."""
    faces = [mtcnn.detect(image) for image in images]
    rows = [row for row, face in enumerate(faces) if len(face)]
    return Found(
        images=[images[row] for row in rows],
        landmarks=[faces[row].landmarks[:1] for row in rows],
        people=people[rows],
        missed=len(images) - len(rows),
    )


def people_who_do_not_exist(split: str, count: int) -> Found:
    dataset = AnnyFaces(PIXELS, count, VIEWS, seed=SEED, split=split)
    faces = [dataset.batch([index]).images for index in range(len(dataset))]
    return find(faces, dataset.identity)


def noisy_copies(count: int) -> Found:
    """Generated faces, four a latent: one of it and three of its noisy copies, of one length."""
    random = torch.Generator().manual_seed(SEED)
    generator = dcgan.pretrained()
    latents = generator.sample_latent(count, random).repeat_interleave(4, dim=0)
    noise = torch.randn(latents.shape, generator=random)
    noise[::4] = 0
    moved = (latents + NOISE * noise) / (1 + NOISE**2 * (noise != 0)) ** 0.5
    with torch.inference_mode():
        faces = generator(moved).split(1)
    return find(list(faces), torch.arange(count).repeat_interleave(4))


@torch.inference_mode()
def pairs(found: Found, network: Embedder, template: str | Template) -> verification.Pairs:
    unit = torch.cat([network.embed(part) for part in found.crops(template).split(32)])
    return verification.all_pairs(embeddings=unit, people=found.people)


def auc(measured: verification.Pairs) -> float:
    return verification.auc(distances=measured.distances, same=measured.same)


# --- the template --------------------------------------------------------------------------------


def template(share: float, shift: float) -> Template:
    """A template in which MTCNN's box, upright, takes a share of the crop (see `facenet160`)."""
    box = TEMPLATES["facenet160"]
    scale = share * SIZE / box.size
    centre = torch.tensor([(SIZE - 1) / 2, (SIZE - 1) / 2 + shift])
    points = (box.points_xy - (box.size - 1) / 2) * scale + centre
    rounded = [[round(value, 1) for value in point] for point in points.tolist()]
    return Template(f"box {share}, {shift:+} px", SIZE, tuple(map(tuple, rounded)))


def margin(photos: Found, network: Embedder, where: Template) -> dict[str, float]:
    """Squared distances of the photographs: the farthest of one man, the closest of two people."""
    measured = pairs(photos, network, where)
    return {
        "farthest of one person": float(measured.distances[measured.same].max()),
        "closest of two": float(measured.distances[~measured.same].min()),
    }


def measure_templates(network: Embedder, faces: Found, photos: Found, drawn: Found) -> dict:
    rows, best = {}, None
    for share in SHARES:
        for shift in SHIFTS:
            where = template(share, shift)
            rows[where.name] = {
                "AUC": auc(pairs(faces, network, where)),
                "AUC, noisy copies": auc(pairs(drawn, network, where)),
                **margin(photos, network, where),
            }
            if best is None or rows[where.name]["AUC"] > rows[best.name]["AUC"]:
                best = where
    return {
        "rule": "largest AUC on people of the validation split",
        "chosen": best.name,
        "points": best.points,
        "candidates": rows,
    }


# --- the threshold, and how good -----------------------------------------------------------------


def equal_error_threshold(measured: verification.Pairs) -> float:
    """The distance at which FMR = FNMR, on the straight line between two points of the ROC."""
    curve = verification.roc(distances=measured.distances, same=measured.same)
    excess = curve.false_positive_rates + curve.true_positive_rates - 1
    above = int((excess >= 0).int().argmax())
    low, high = excess[above - 1], excess[above]
    share = float(-low / (high - low))
    return float(torch.lerp(*curve.thresholds[above - 1 : above + 1], share))


def rates(measured: verification.Pairs, threshold: float) -> dict:
    same, different = measured.distances[measured.same], measured.distances[~measured.same]
    return {
        "AUC": auc(measured),
        "threshold": threshold,
        "false match rate": float((different < threshold).double().mean()),
        "false non-match rate": float((same >= threshold).double().mean()),
        "equal error rate": verification.equal_error_rate(
            verification.roc(distances=measured.distances, same=measured.same)
        ),
        "mean of the same": float(same.mean()),
        "mean of different": float(different.mean()),
    }


def photograph_pairs(photos: Found, network: Embedder, names: list[str]) -> dict[str, float]:
    measured = pairs(photos, network, network.template)
    rows = zip(measured.pictures.tolist(), measured.distances.tolist(), strict=True)
    return {f"{names[i]}, {names[j]}": distance for (i, j), distance in rows}


# --- how quick --------------------------------------------------------------------


@torch.inference_mode()
def measure_speed(faces: torch.Tensor, repeats: int) -> dict:
    """Faces a second, in turns: both recognisers, both data types, channels last."""
    networks = {"faceres": embedder("faceres"), "dlib": embedder("dlib")}
    last = {"memory_format": torch.channels_last}
    competitors, sizes = {}, {}
    for name, network in networks.items():
        batch = F.interpolate(faces, (network.size, network.size), mode="bilinear").to(**last)
        for kind in (torch.float32, torch.bfloat16):
            ours = copy.deepcopy(network).to(kind, **last)
            for count in (1, 32):
                key = f"{name}, {str(kind).removeprefix('torch.')}, batch {count}"
                competitors[key] = lambda network=ours, x=batch[:count]: network(x)
                sizes[key] = count
    whole = networks["faceres"].network._features
    crops = F.interpolate(faces, (SIZE, SIZE), mode="bilinear").to(**last)
    competitors["faceres, float32, batch 32, not in parts"] = lambda: whole(crops)
    sizes["faceres, float32, batch 32, not in parts"] = 32
    seconds = best_seconds(competitors, repeats)
    return {"parts": AT_ONCE["cpu"], **{key: sizes[key] / s for key, s in seconds.items()}}


@torch.inference_mode()
def measure_bfloat16(faces: torch.Tensor) -> dict[str, float]:
    """What the smaller data type changes."""
    network = embedder("faceres")
    half = copy.deepcopy(network).to(torch.bfloat16)
    exact, rounded = network.embed(faces), half.embed(faces)
    cosines = F.cosine_similarity(exact, rounded)
    (male, age), (half_male, half_age) = (n.gender_and_age(faces) for n in (network, half))
    return {
        "smallest cosine": float(cosines.min()),
        "mean cosine": float(cosines.mean()),
        "largest difference of the probability of male": float((male - half_male).abs().max()),
        "largest difference in years": float((age - half_age).abs().max()),
    }


# --- all of it -----------------------------------------------------------------------------------


def measure(options: argparse.Namespace) -> dict:
    network, dlib = embedder("faceres"), embedder("dlib")
    names = list(photographs())
    who = torch.tensor([("biden", "obama", "astronaut").index(n.rstrip("23")) for n in names])
    photos = find(list(photographs().values()), who)
    validation = people_who_do_not_exist("validation", options.validation)
    test = people_who_do_not_exist("test", options.test)
    drawn = noisy_copies(options.validation)
    chosen = pairs(validation, network, network.template)
    threshold = equal_error_threshold(chosen)
    crops = photos.crops(network.template)
    tested = pairs(test, network, network.template)
    return {
        "people": {
            "validation": f"{options.validation}, {len(validation)} faces found, "
            f"{validation.missed} missed",
            "test": f"{options.test}, {len(test)} faces found, {test.missed} missed",
        },
        "template": measure_templates(network, validation, photos, drawn),
        "threshold": {
            "rule": "FMR = FNMR on people of the validation split",
            "template": network.template,
            "squared distance": threshold,
            "validation": rates(chosen, threshold),
        },
        "test": {
            "faceres": rates(tested, round(threshold, 3)),
            "dlib": rates(pairs(test, dlib, dlib.template), dlib.threshold_squared),
        },
        "photographs": {n.id: photograph_pairs(photos, n, names) for n in (network, dlib)},
        "faces per second": measure_speed(torch.cat(test.images[:32]), options.repeats),
        "bfloat16": measure_bfloat16(crops),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--validation", type=int, default=40, help="people")
    parser.add_argument("--test", type=int, default=60, help="people")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/faceres.json")
    options = parser.parse_args()
    record(
        "HSE-FaceRes: its template, threshold, error rates and speed, one run",
        options.output,
        options.threads,
        lambda: measure(options),
        pixels=PIXELS,
        views=VIEWS,
        seed=SEED,
    )


if __name__ == "__main__":
    main()
