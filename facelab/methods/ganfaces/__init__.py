"""From renders of a morphable model to photo-like faces of new people (Gecer et al. 2018).

B. Gecer, B. Bhattarai, J. Kittler, T.-K. Kim, "Semi-supervised Adversarial Learning to Generate
Photorealistic Face Images of New Identities from 3D Morphable Model", ECCV 2018.

| paper | here |
|---|---|
| equation 1, the forward cycle | `losses.cycle_loss` |
| equations 2 and 3: what G and G' minimise at their critics | `networks.Critic.error` |
| equations 4, 5 and 10: the critics | `training.Game.critic_terms` |
| below equation 5: k_t | `generators.adversarial.next_k` |
| equation 6, the pairs | `losses.pair_loss` |
| equation 7, people | `losses.set_loss` |
| section 3.3, the centroids | `losses.move_centroids` |
| equation 8 | `training.Game.generator_terms`, `training.generator_weights` |
| equation 9 | `training.Game.inverse_terms`, `training.inverse_weights` |
| section 4: networks, the lambdas, L_id | `networks`, `training.Weights`, `losses.identity_l1` |
| section 5: the dataset | `writer` |
| table 1 and figure 5: simGAN, CycleGAN, reconstruction; footnote 3 | `variants` |
| figures 6 and 7: what is kept, who is told apart | `evaluation`, `metrics.translation` |

Where this is not the paper, and why:

- *One after the other.* Equations 8 to 10 are "simultaneous" updates; here the critics move, then
  G', then G, each on what the ones before have become. It is the same game, and each network's loss
  can be read, tested and frozen by itself.
- *Equation 7 has the magnet loss's signs*: as printed, it pushes faces from their own people. *beta
  = 0.95 is what a centroid keeps*: it moves by 0.05. *k_t follows the error on true pictures*, as
  in BEGAN. Each printed reading is a setting, and `readings` shows what it does.
- *A centroid begins at its person's first face*, not at zero: embeddings have length one, so zero
  is as far from everybody, and at a rate of 0.05 a centroid would be long on its way. People who
  have not been seen are left out of the denominator.
- *s^2 of equation 7 has no gradient*: it sets the scale of a batch, and is nothing to be learned.
- *Only the forward cycle*, as footnote 3 has it; the backward one is a weight (`variants`).
- *L1 norms are means over pixels and channels*, so that a weight means the same at any size.
- *Nothing is masked* (`Config.masked` is False). The equations compare whole pictures; the authors'
  code counts L_id where the render shows the head alone. Our renders have backgrounds, as
  photographs have, so there is no empty part that G had to fill.
- *G is seen by dlib's recogniser* where the paper has a FaceNet of its own training, and without
  the random crop, turn and flip before it.
- *BOOK is small, for a CPU*: 64 pixels, width 24, 2,000 people. Its run is a fraction of the
  paper's 248,000 steps, and its settings follow from that: batches of 8 (the paper's are 16), for
  twice as many steps; a learning rate of 2e-4 (8e-5); an average with 0.998, which remembers 500
  steps; 0.02 for the set-based loss (0.001), since a person is drawn in every 250th batch only and
  few such pulls are to count; 0.3 for L_id (0.1). And the balance: k_t moves by 0.1 (0.001), or it
  would still be near 0 at the end, and gamma is 0.8 (0.5), for at 0.5 made pictures have to be
  twice as easy to copy as photographs, which G first learns to do by blurring.
- *The skips reach back to the picture itself*, and G begins there: normalisation within a picture
  takes its light away, and a run of some thousand steps has none to spare for finding the input.

The domains are the book's own: heads of `data.anny_faces` for the morphable models', faces of the
pre-trained generator for photographs, and pairs that fit the one to the other
(`data_scripts/ganfaces_pairs.py`). The paper's may not be passed on, or are no longer given out.
"""
