"""The data card of AnnyFaces: what it is, how it came about, what it is for and what it is not.

After Gebru et al. (2021), Datasheets for Datasets.
"""

from facelab.data.attributes import ATTRIBUTES, QUANTILES
from facelab.data.masks import MASKS
from facelab.data.people import HABITS, OLDEST, YOUNGEST
from facelab.data.seeding import TRAIN, VALIDATION
from facelab.data.views import EYES, MOUTHS
from facelab.geometry.morphable import MorphableModel, anny_head

CARD = """\
# AnnyFaces

Faces of people who do not exist, drawn by a program, with everything known about each of them.

## Composition

- A face is a picture of 16 to 1,024 pixels a side, sRGB, and its labels: person, {components} shape
  coefficients, {expressions} expression weights, {phenotypes} phenotypes, yaw, pitch and roll, 68
  landmarks in pixels, camera, light, looks and {attributes} binary attributes. Masks on demand:
  {masks}.
- It follows from two seeds, one for the person and one for the view, and is not stored. There is no
  fixed number of people or faces.
- People: gender in two camps of equal size; {youngest:.0f} to {oldest:.0f} years, half below 39;
  ancestry drawn on three axes and mostly near one of them. {never:.0f} % never wear eyeglasses,
  {always:.0f} % almost always.
- Views: yaw with a standard deviation of 20 degrees (two of five faces near frontal, none beyond
  60), pitch 7 (22), roll 4 (12); one lamp and light from around, cast shadows in two of five;
  blurred backgrounds of random colours.
- Mouths: {mouths}. Eyes: {eyes}.
- Splits by a hash of the person: {train:.0f} % train, {validation:.0f} % validation,
  {test:.0f} % test. No person is in two.

## How it is made

- Shape: principal components of heads that were sampled from Anny, a body model on
  MakeHuman's mesh; coefficients are normal, given the phenotypes. Looks: a texture painted from
  about thirty named parameters; hair is a shell over the scalp, eyeglasses are meshes. Drawn by
  facelab's own rasteriser.
- Nobody was photographed or scanned, nobody labelled anything. An attribute is what its rule says:

{rules}

Quantiles of the population, over 20,000 people:

{quantiles}

## Use

- To learn and to test what needs labels that photographs don't have: pose, expression and light of
  the same person, exact swaps of identity, masks, controlled experiments.
- Not to judge people. Rates measured here say nothing about how well a system works for any group
  of real people, and a classifier trained here must not be used to sort, admit or watch anyone.
- Not as evidence of fairness: that the groups are of equal size does not make their pictures fair.

## Known gaps

- No scanned people: shapes are an artist's sliders and their sums. MakeHuman's three ethnic axes
  are caricatures, `Male` is one slider of shape and a few tendencies of looks; both are kept
  because the shapes depend on them, and neither describes a person.
- Adults only. No disabilities, scars, tattoos, jewellery, hats, scarves, or hands before a face.
- Skin is diffuse with a highlight, without wrinkles or pores; hair has no strands; lenses don't
  refract or mirror. A network trained here alone has seen no photograph.
- Labels are exact, so that results here are better than with the noisy labels of photographs.

## Licence

Pictures and labels: Apache-2.0, like facelab. The head: {notice}
"""


def card(model: MorphableModel | None = None) -> str:
    """Return the data card of AnnyFaces as Markdown; all numbers in it come from the code."""
    model = model or anny_head()
    rules = "\n".join(f"| `{a.name}` | {a.rule} |" for a in ATTRIBUTES)
    rows = "\n".join(
        f"| {name} | " + " | ".join(f"{value:g}" for value in levels.values()) + " |"
        for name, levels in QUANTILES.items()
    )
    levels = next(iter(QUANTILES.values()))
    heads = " | ".join(f"{level:.0%}" for level in levels)
    return CARD.format(
        components=model.components,
        expressions=len(model.expression_names),
        phenotypes=len(model.phenotype_names),
        attributes=len(ATTRIBUTES),
        masks=", ".join(MASKS),
        youngest=YOUNGEST,
        oldest=OLDEST,
        never=100 * HABITS[0][0],
        always=100 * HABITS[-1][0],
        mouths=_shares(MOUTHS),
        eyes=_shares(EYES),
        train=100 * TRAIN,
        validation=100 * (VALIDATION - TRAIN),
        test=100 * (1 - VALIDATION),
        rules=f"| attribute | is true with |\n|---|---|\n{rules}",
        quantiles=f"| measure | {heads} |\n|---|{'---|' * len(levels)}\n{rows}",
        notice=model.notice,
    )


def _shares(table: dict[str, tuple[float, dict]]) -> str:
    return ", ".join(f"{name} {100 * share:.0f} %" for name, (share, _) in table.items())
