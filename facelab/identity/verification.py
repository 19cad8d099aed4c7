"""`facelab verify`: one person or two, for two pictures or for a list of pairs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facelab.errors import ParameterError
from facelab.identity.console import (
    ALIGNED,
    DEVICE,
    EMBEDDER,
    FILE,
    JSON,
    embed_with_progress,
    list_failures,
    load_embedder,
    number,
    policy_option,
    print_json,
    raise_first,
    record,
)

if TYPE_CHECKING:
    from facelab.metrics.verification import Verification
    from facelab.recognition.embedder import Embedder
    from facelab.recognition.gallery import Gallery
    from facelab.recognition.pair_lists import PairList

FOLD_RULES = {
    "given": "the list's own folds",
    "people": "folds of people: each pair's threshold comes from pairs without its people",
    "pairs": "folds of pairs, with people on both sides: too few people for more",
    "none": "no folds, the recogniser's own threshold: too few pairs to choose one",
}


@click.command()
@click.argument("images", nargs=-1, type=FILE, metavar="[A B]")
@click.option("--pairs", type=FILE, help="LFW's pairs.txt, or a CSV with the columns a,b,same.")
@click.option("--images", "folder", type=FILE, help="The folder of its pictures [the file's own].")
@policy_option()
@ALIGNED
@EMBEDDER
@DEVICE
@JSON
def verify(
    images: tuple[Path, ...],
    pairs: Path | None,
    folder: Path | None,
    policy: str,
    aligned: bool,
    embedder: str,
    device: str,
    as_json: bool,
) -> None:
    """Say whether two pictures show one person, or measure it on a list of pairs.

    Distances are squared Euclidean ones between embeddings of length one: 0 for the same face,
    and below the threshold for the same person. With --pairs, a picture without a face counts
    against the result: all its pairs are wrong.
    """
    if len(images) != (0 if pairs else 2) or (folder and not pairs):
        raise ParameterError("give either two pictures, or --pairs FILE with --images DIR")
    if pairs is None:
        gallery, network = _two(images, policy, aligned, embedder, device)
        _print_verdict(gallery, network, as_json)
        return
    from facelab.recognition.pair_lists import read_pairs

    listed = read_pairs(pairs, folder)
    network = load_embedder(embedder, device)
    gallery = embed_with_progress(list(listed.paths), network, policy, aligned)
    if not gallery.paths:
        raise_first(
            gallery.failures, f"none of {gallery.pictures:,} pictures gave a face; the first: "
        )
    result = _measure(listed, gallery, network)
    if as_json:
        print_json(
            **{**result.as_dict(), "images": gallery.pictures},
            contradictions=listed.contradictions,
            **record(gallery),
        )
    else:
        list_failures(gallery.failures)
        _print_measured(result, gallery, listed.contradictions)


def _two(
    images: tuple[Path, ...], policy: str, aligned: bool, embedder: str, device: str
) -> "tuple[Gallery, Embedder]":
    network = load_embedder(embedder, device)
    gallery = embed_with_progress(list(images), network, policy, aligned)
    if gallery.failures:
        raise_first(gallery.failures)
    return gallery, network


def _print_verdict(gallery: "Gallery", network: "Embedder", as_json: bool) -> None:
    distance = float(network.distance(gallery.embeddings[:1], gallery.embeddings[1:]))
    threshold = network.threshold_squared
    verdict = "same" if distance < threshold else "different"
    if as_json:
        print_json(
            distance=distance,
            threshold=threshold,
            verdict=verdict,
            same=verdict == "same",
            images=[
                {"path": path, "faces": seen, "box": box, "probability": number(probability)}
                for path, seen, box, probability in zip(
                    gallery.paths,
                    gallery.seen,
                    gallery.boxes.tolist(),
                    gallery.probabilities.tolist(),
                    strict=True,
                )
            ],
            embedder=gallery.embedder,
            policy=gallery.policy,
        )
        return
    for path, seen in zip(gallery.paths, gallery.seen, strict=True):
        if seen > 1:
            click.echo(f"{path}: took the {gallery.policy} of {seen} faces", err=True)
    click.echo(f"distance   {distance:.3f}  squared, of embeddings of length one; 0: the same")
    click.echo(f"threshold  {threshold:.3f}  below it: one person ({gallery.embedder})")
    click.echo(f"verdict    {verdict}")


def _measure(listed: "PairList", gallery: "Gallery", network: "Embedder") -> "Verification":
    import torch

    from facelab.metrics import verification

    row = {path: index for index, path in enumerate(gallery.paths)}
    rows = torch.tensor([row.get(str(path), -1) for path in listed.paths])
    pictures = torch.tensor(listed.pictures)
    first, second = rows[pictures].T
    pairs = verification.Pairs(
        distances=network.distance(gallery.embeddings[first], gallery.embeddings[second]),
        same=torch.tensor(listed.same),
        pictures=pictures,
        people=torch.tensor(listed.people),
        failed=(first < 0) | (second < 0),
        folds=None if listed.folds is None else torch.tensor(listed.folds),
    )
    return verification.measure(pairs, default_threshold=network.threshold_squared)


def _print_measured(result: "Verification", gallery: "Gallery", contradictions: int) -> None:
    rows = [
        ("pairs", f"{result.pairs:,}: {result.same_pairs:,} of one person, "
         f"{result.different_pairs:,} of two; {result.failed_pairs:,} without a face (wrong)"),
        ("images", f"{gallery.pictures:,}, {len(gallery.failures):,} without a face; policy "
         f"{gallery.policy}, recogniser {gallery.embedder}"),
        ("accuracy", f"{result.accuracy:.4f}{_spread(result, 'accuracy')}"),
        ("threshold", f"{result.threshold:.3f} ({result.threshold_range[0]:.3f} to "
         f"{result.threshold_range[1]:.3f}), {result.folds} folds: {FOLD_RULES[result.fold_rule]}"),
        ("AUC", f"{_rate(result.auc)}{_spread(result, 'auc')}"),
        ("1 - EER", _rate(result.one_minus_eer)),
        *((f"TPR, FPR {rate}", _rate(value)) for rate, value in result.tpr_at_fpr.items()),
        ("d'", _rate(result.d_prime)),
        ("speed", f"{gallery.images_per_second:.1f} pictures a second"),
    ]  # fmt: skip
    for name, text in rows:
        click.echo(f"{name:<16}{text}")
    if contradictions:
        click.echo(
            f"{contradictions:,} pairs are said to be of two people, but other pairs link both "
            "pictures to one person; check the list",
            err=True,
        )


def _rate(value: float | None) -> str:
    return "-  (too few pairs)" if value is None else f"{value:.4f}"


def _spread(result: "Verification", name: str) -> str:
    interval = result.intervals[name]
    if interval is None:
        return "  (too few people for an interval)"
    extent = f"{interval.low:.4f} to {interval.high:.4f}"
    return f"  ({interval.confidence:.0%} interval over people: {extent})"
