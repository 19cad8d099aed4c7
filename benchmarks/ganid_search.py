"""Searching for people: every strategy on the same targets, judged by what it never saw.

Prints a record and writes it to runs/bench/ganid_search.json: for each person and strategy the best
distance after so many evaluations, the distances that two embedders give to the face that MTCNN
finds on the result, with intervals over people and p-values of paired comparisons; real pairs of
the same and of different people beside them; Algorithm 1 as printed and as corrected; the same
search on other generators and embedders. Finished searches are kept in runs/bench/ganid/, so that
a second call goes on where the first was ended.
"""

import argparse
import hashlib
import itertools
import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import recording
import torch

from facelab.assets import path as asset_path
from facelab.generators.catalogue import generator
from facelab.images import load_image
from facelab.methods.ganid import gradient, greedy, targets
from facelab.methods.ganid.bank import Bank
from facelab.methods.ganid.scoring import FRAMING, Scorer, Target, half_is_quicker
from facelab.methods.ganid.search import Settings, Trace, begin, passes
from facelab.methods.ganid.verdict import judge
from facelab.metrics.paired import compare, mean_interval
from facelab.metrics.verification import auc
from facelab.recognition.align import reframe
from facelab.recognition.embedder import embedder

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "runs/bench/ganid"
POINTS = (100, 250, 500, 1000, 2000, 3000, 4000, 5000, 10_000, 15_000, 20_000)
# name -> (strategy, its config or None, share of the budget)
ROWS = {
    "random": ("random", None, 1.0),
    "greedy, corrected": ("greedy", greedy.CORRECTED, 1.0),
    "greedy, printed": ("greedy", greedy.PRINTED, 1.0),
    "CMA-ES": ("cmaes", None, 1.0),
    "gradient": ("gradient", None, 0.1),
    "gradient without prior": ("gradient", gradient.Config(prior=0.0), 0.1),
}
MAIN = ("random", "greedy, corrected", "CMA-ES", "gradient")
# Other readings of Algorithm 1, for few people.
READINGS = {
    "greedy, corrected": ROWS["greedy, corrected"],
    "greedy, fine stage as printed": ("greedy", greedy.Config(fine="printed"), 1.0),
    "greedy, the best forgotten": ("greedy", greedy.Config(keep_best=False), 1.0),
    "greedy, printed": ROWS["greedy, printed"],
}


def people(rendered: int, generated: int) -> list[targets.Person]:
    """Rendered people, people of the generator, and the one photograph."""
    photograph = targets.find_person("photograph", [load_image(asset_path("astronaut"))])
    return [
        *targets.rendered_people(rendered, 5),
        *targets.generated_people(generator(), generated, 5),
        photograph,
    ]


def kind_of(person: str) -> str:
    return person.split()[0]


def kept(name: str, make, **words) -> dict:
    """Return what `make` returns, made once for these words and this search code."""
    code = "".join(p.read_text() for p in sorted((ROOT / "facelab/methods/ganid").glob("*.py")))
    text = json.dumps([name, words, hashlib.sha256(code.encode()).hexdigest()], default=str)
    place = KEPT / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
    return recording.kept(place, make)


def one(row: str, scorer: Scorer, bank: Bank, person: targets.Person, budget: int, unseen) -> dict:
    """Search for one person and judge what was found."""
    strategy, config, share = (ROWS | READINGS)[row]
    options = {} if config is None else {"config": config}
    limit = max(1, round(budget * share))

    def make() -> dict:
        start = time.perf_counter()
        target = person.target(scorer.embedder)
        settings = Settings(limit, threshold=0.0)
        looking = begin(strategy, scorer, target, bank, **options)
        trace = Trace(strategy)
        for _ in passes(looking, settings, trace):
            pass
        found = judge(scorer, trace.best, person, unseen)
        return {
            "distance": trace.distance,
            # What Algorithm 1 itself returns: a reading that forgets may have lost its best.
            "returned": getattr(looking, "distance", trace.distance),
            "curve": {n: trace.at(n) for n in POINTS if n <= limit},
            "stages": sorted({p.stage for p in trace.curve}),
            **asdict(found),
            "latent": [round(float(v), 4) for v in trace.best[0]],
            "seconds": round(time.perf_counter() - start, 2),
        }

    words = {"budget": limit, "scorer": scorer.id, "person": person.name, "unseen": unseen.id}
    return kept(row, make, config=repr(config), **words)


def summary(results: list[dict], random: torch.Generator) -> dict:
    """Means over people, with intervals, of what was found."""
    told = {}
    for column in ("distance", "returned", "searched", "unseen"):
        values = [r[column] for r in results]
        found = torch.tensor([math.nan if v is None else v for v in values], dtype=torch.float64)
        seen = found[~found.isnan()]
        if not len(seen):
            continue
        interval = mean_interval(seen, random)
        told[column] = {"mean": float(seen.mean()), "people": len(seen)}
        told[column]["interval"] = interval and [interval.low, interval.high]
    told["no face found"] = sum(r["searched"] is None for r in results)
    for who in ("searched", "unseen"):
        limit = embedder(results[0][f"{who}_embedder"]).threshold_squared
        below = sum(r[who] is not None and r[who] < limit for r in results)
        told[f"same person by the {who} embedder"] = below
    points = [n for n in POINTS if str(n) in results[0]["curve"]]
    told["curve"] = {n: sum(r["curve"][str(n)] for r in results) / len(results) for n in points}
    return told


def searches(rows, crowd, scorer, bank, budget, unseen) -> dict[str, list[dict]]:
    """Every row for everybody."""
    found = {}
    for row in rows:
        start = time.perf_counter()
        found[row] = [one(row, scorer, bank, person, budget, unseen) for person in crowd]
        mean = sum(r["distance"] for r in found[row]) / len(crowd)
        print(f"{row}: {mean:.4f}, {time.perf_counter() - start:.0f} s", flush=True)
    return found


def table(found: dict[str, list[dict]], crowd: list[targets.Person]) -> dict:
    """Summaries of all rows, for everybody and by the kind of target; paired p-values."""
    random = torch.Generator().manual_seed(0)
    kinds = {"all": list(range(len(crowd)))}
    for number, person in enumerate(crowd):
        kinds.setdefault(kind_of(person.name), []).append(number)
    rows = {
        row: {kind: summary([results[i] for i in who], random) for kind, who in kinds.items()}
        for row, results in found.items()
    }
    pairs = {}
    for a, b in itertools.permutations(found, 2):
        first, second = (torch.tensor([r["distance"] for r in found[x]]) for x in (a, b))
        compared = compare(first, second, random)
        pairs[f"{a} < {b}"] = {
            "difference": compared.difference,
            "interval": compared.interval and [compared.interval.low, compared.interval.high],
            "p": compared.p_less,
        }
    return {"rows": rows, "pairs": pairs}


# --- what to compare with ------------------------------------------------------------------------


def reference_pairs(crowd: list[targets.Person], network) -> dict:
    """Distances of real pairs, and of a picture with another one of the same person at 64 pixels.

    The second is what a generator of 64 x 64 pixels could reach at best.
    """
    codes = [person.target(network).embeddings for person in crowd]
    small = []
    for person in crowd:
        faces = reframe(person.crops(FRAMING), FRAMING, network.template)
        small.append(network.embed(faces))
    same, coarse = [], []
    for sharp, low in zip(codes, small, strict=True):
        for a, b in itertools.combinations(range(len(sharp)), 2):
            same.append(float((sharp[a] - sharp[b]).square().sum()))
            coarse.append(float((sharp[a] - low[b]).square().sum()))
    other = []
    for first, second in itertools.combinations(codes, 2):
        other += (first[:, None] - second[None]).square().sum(2).flatten().tolist()
    told = {"same": describe(same), "same, one at 64 px": describe(coarse)}
    told["different"] = describe(other)
    distances = torch.tensor(same + other)
    labels = torch.arange(len(distances)) < len(same)
    told["AUC"] = auc(distances=distances, same=labels)
    told["threshold"] = network.threshold_squared
    return told


def describe(values: list[float]) -> dict:
    numbers = torch.tensor(values, dtype=torch.float64)
    low, high = numbers.quantile(torch.tensor([0.05, 0.95], dtype=torch.float64)).tolist()
    return {
        "mean": float(numbers.mean()),
        "largest": float(numbers.max()),
        "q05": low,
        "q95": high,
        "pairs": len(values),
    }


def references(crowd: list[targets.Person], names: tuple[str, ...]) -> dict:
    """Real pairs by kind of picture and embedder, and the largest of Table 1's kind."""
    told = {}
    for kind in ("rendered", "generated"):
        group = [p for p in crowd if kind_of(p.name) == kind]
        told[kind] = {name: reference_pairs(group, embedder(name)) for name in names}
    photographs = {
        "obama": ["obama.jpg", "obama2.jpg", "obama3.jpg"],
        "biden": ["biden.jpg"],
    }
    folder, real = asset_path("portraits"), []
    for who, files in photographs.items():
        pictures = [load_image(folder / file) for file in files]
        real.append(targets.find_person(who, pictures, "largest"))
    real.append(targets.find_person("photograph", [load_image(asset_path("astronaut"))]))
    told["photograph"] = {name: reference_pairs(real, embedder(name)) for name in names}
    return told


def random_level(crowd: list[targets.Person], bank: Bank, count: int) -> float:
    """The mean distance of a random face from a target."""
    wanted: list[Target] = [person.target(bank.scorer.embedder) for person in crowd]
    return float(bank.compare(wanted, count).mean())


# --- everything ----------------------------------------------------------------------------------


def measure(options: argparse.Namespace) -> dict:
    """All searches of the chapter."""
    names = (options.embedder, options.unseen)
    led, unseen = embedder(names[0]), embedder(names[1])
    crowd = people(options.rendered, options.generated)
    scorer = Scorer(generator(), led, "landmarks", half=half_is_quicker())
    bank = Bank(scorer)
    found = searches(ROWS, crowd, scorer, bank, options.budget, unseen)
    told = {
        "people": [p.name for p in crowd],
        "references": references(crowd, names),
        "random faces": {
            name: random_level(
                crowd, Bank(Scorer(generator(), embedder(name), half=half_is_quicker())), 500
            )
            for name in names
        },
        "searches": table(found, crowd),
    }
    few = [crowd[i] for i in options.long]
    told["readings"] = table(searches(READINGS, few, scorer, bank, options.budget, unseen), few)
    told["long"] = {
        "budget": options.long_budget,
        "people": [p.name for p in few],
        **table(searches(MAIN, few, scorer, bank, options.long_budget, unseen), few),
    }
    told["shown"] = {
        crowd[i].name: {row: found[row][i]["latent"] for row in ("greedy, corrected", "gradient")}
        for i in options.long
    }
    told["each"] = {
        row: [{k: r[k] for k in ("distance", "searched", "unseen")} for r in results]
        for row, results in found.items()
        if row in MAIN
    }
    told["universal"] = universal(few[:4], options.universal_budget)
    return told


def universal(crowd: list[targets.Person], budget: int) -> list[dict]:
    """The corrected greedy search with other parts in place."""
    rows = []
    for parts in itertools.product(("digiface-dcgan", "dcgan"), ("dlib", "faceres")):
        maker, led = generator(parts[0]), embedder(parts[1])
        other = embedder("faceres" if parts[1] == "dlib" else "dlib")
        scorer = Scorer(maker, led, "landmarks", half=half_is_quicker())
        bank = Bank(scorer)
        first, best = [], []
        for person in crowd:
            for row, where in (("random", first), ("greedy, corrected", best)):
                where.append(one(row, scorer, bank, person, budget, other))
        rows.append(
            {
                "generator": maker.id,
                "embedder": led.id,
                "budget": budget,
                "people": len(crowd),
                "random": summary(first, torch.Generator().manual_seed(0)),
                "greedy": summary(best, torch.Generator().manual_seed(0)),
                "random face": random_level(crowd, bank, 250),
                "threshold": led.threshold_squared,
            }
        )
        print(parts, rows[-1]["greedy"]["distance"], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rendered", type=int, default=10)
    parser.add_argument("--generated", type=int, default=9)
    parser.add_argument("--budget", type=int, default=5000)
    parser.add_argument("--long", type=int, nargs="+", default=[0, 1, 10, 11, 19])
    parser.add_argument("--long-budget", type=int, default=20_000)
    parser.add_argument("--universal-budget", type=int, default=3000)
    parser.add_argument("--embedder", default="dlib")
    parser.add_argument("--unseen", default="faceres")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/ganid_search.json")
    options = parser.parse_args()
    recording.record(
        "searches for people",
        options.output,
        options.threads,
        lambda: measure(options),
        generator="gan-face-generate",
        embedder=options.embedder,
        unseen=options.unseen,
        budget=options.budget,
    )


if __name__ == "__main__":
    main()
