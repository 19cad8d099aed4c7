# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Identity-preserving face generation
#
# *A textbook that runs: five papers, one library.*
#
# Change a face: turn the head, open the mouth, take the glasses off, add thirty years. Now keep the
# person. Five papers, from 2016 to 2020, took five different roads to that, and each taught the field
# something that later methods still use. This book rebuilds all five from their equations, runs them
# on faces that anybody may use, and measures what they claim.
#
# | Key | Paper | The idea in one line |
# |---|---|---|
# | `ganid` | {cite:t}`li2017ganid` | search a trained generator for the face that a recogniser takes for a given person, then edit it by vector arithmetic |
# | `ganfaces` | {cite:t}`gecer2018ganfaces` | turn renders of a 3D morphable model into photo-like faces of new people, and train recognition on them |
# | `diat` | {cite:t}`li2016diat` | one forward pass changes an attribute; a loss on a face network's features keeps the identity |
# | `idmap` | {cite:t}`nitzan2020idmap` | take identity from one picture and everything else from another, by mapping both into a generator's latent space |
# | `d2ae` | {cite:t}`liu2018d2ae` | split a face into an identity code and a code of everything else, adversarially, and decode both |
#
# ## What is different here
#
# - **It runs.** Every chapter is a notebook that was executed to make the page you read. Two commands
#   set everything up on a machine with Python, make and git; after that no network is needed.
# - **Real parts.** A generator and a face recogniser that were really trained, a detector, photographs
#   in the public domain. Where something is small or rendered, the text says so.
# - **One library.** The chapters hold no copies of code: an equation is a function of `facelab`, shown
#   from its source and tested against something independent of it.
# - **Claims are measured.** Each result of the five papers is a claim with a number beside it and a
#   verdict that code computes. *Not reproduced at this scale* is one of the verdicts.

# %% [markdown]
# ## The chapters
#
# The table is made from the book's manifest and from the record of the last run whose outputs were
# kept. A paper without a chapter yet is not in it.

# %%
from IPython.display import Markdown

from facelab.book import manifest, overview

book = manifest.load()
Markdown(overview.chapter_table(book))

# %% [markdown]
# ## After the chapters
#
# | Page | What is there |
# |---|---|
# | [What came after](pages/after.md) | what five papers learned, and by what they were replaced |
# | [Responsible use](pages/responsible.md) | consent, law, withdrawn datasets, and what de-identification does not promise |
# | [Demographic differences](pages/demographics.md) | whom the recognisers of this book mistake more often, on drawn people |
# | [The claims ledger](pages/ledger.md) | each claim of the five papers, what was measured here, and a verdict |
# | [Equations](pages/equations.md), [notation](pages/notation.md), [glossary](pages/glossary.md) | which function is which equation, what a letter means where, and the words |
# | [For instructors](pages/instructors.md) | an assignment of its own for each student, run in isolation and graded |
# | [Model cards](pages/model_cards.md), [data cards](pages/data_cards.md) | each file of weights and each dataset: whose it is, what it can't do |

# %% [markdown]
# ## How to run it
#
# | You are | You do |
# |---|---|
# | a reader | open `_build/html/index.html` after `make book`; it works with the network off |
# | a student | `make lab`, open a chapter, run it cell by cell, answer the exercises |
# | an instructor | `facelab assign make` and [what comes after](pages/instructors.md); or plain papermill: `papermill chapters/01_faces.ipynb out.ipynb -p seed 7` |
# | in a hurry | `facelab doctor` says what is missing and what to do about it |
#
# A chapter has three profiles, which differ in how much they compute and in nothing else:

# %%
Markdown(overview.profile_table(book))

# %% [markdown]
# Exercises come with a test that says what is wrong, three hints, and a folded solution. A stub that is
# still empty never stops a chapter.
#
# ## Conventions
#
# An image is a tensor of shape (batch, 3, height, width) with values in $[-1, 1]$. Beside an equation
# the code uses the paper's letters; elsewhere it uses whole words. Coordinates are $(x, y)$ in pixels,
# and the centre of the top left pixel is $(0, 0)$. Two faces are compared by the squared Euclidean
# distance of their unit embeddings, between 0 and 4, as the papers do.
#
# What the numbers were made on:

# %%
Markdown(overview.environment_table())

# %% [markdown]
# ## Faces are people
#
# Everything here can be turned on somebody who did not ask for it. The book trains and tests on faces
# of nobody wherever it can, shows photographs only of public figures in pictures that are in the public
# domain, and ends each chapter with what its method must not be used for. Read
# [the part on your own pictures](01_faces.ipynb#before-you-use-your-own-picture) before you put one in.

# %% tags=["nbval-check-output"]
print("chapters:", ", ".join(chapter.slug for chapter in book.chapters))
